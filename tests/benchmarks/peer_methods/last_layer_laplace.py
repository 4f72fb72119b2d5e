"""A Laplace approximation of the last layer, by laplace-torch with its defaults.

Kronecker factors, prior precision by the marginal likelihood, probit predictions (Daxberger et al.
2021). Nothing is there to look at before the net is trained.
"""

from __future__ import annotations

from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from peer_methods.gradient_descent import cross_entropy, trained
from peer_methods.task import Fitted, Task, by_parts


def fit(task: Task) -> Fitted:
    from laplace import Laplace

    net = task.net()
    for _ in trained(task, net.parameters(), cross_entropy(net)):
        pass
    approximation = Laplace(net, "classification")
    approximation.fit(DataLoader(TensorDataset(task.train.x, task.train.y), task.batch_size))
    approximation.optimize_prior_precision()

    def probit(x: Tensor) -> Tensor:
        probabilities: Tensor = approximation(x).double()
        return probabilities

    predict = by_parts(probit)
    task.watch(task.epochs, predict)
    return Fitted(predict)
