"""bayesian-torch: layers with Gaussian weights, with the options and the loss of its README.

Its KL of a layer is the mean over the weights, and the loss adds KL / batch size: the KL counts for
much less than in the evidence lower bound.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from peer_methods.gradient_descent import trained
from peer_methods.task import Fitted, Task, averaged

OPTIONS = {
    "prior_mu": 0.0,
    "prior_sigma": 1.0,
    "posterior_mu_init": 0.0,
    "posterior_rho_init": -3.0,
    "type": "Reparameterization",
    "moped_enable": False,
    "moped_delta": 0.5,
}


def fit(task: Task) -> Fitted:
    from bayesian_torch.models.dnn_to_bnn import dnn_to_bnn, get_kl_loss

    net = task.net()
    dnn_to_bnn(net, OPTIONS)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        total: Tensor = F.cross_entropy(net(x), y) + get_kl_loss(net) / task.batch_size
        return total

    predict = averaged(net)
    for epoch in trained(task, net.parameters(), loss):
        task.watch(epoch, predict)
    return Fitted(predict)
