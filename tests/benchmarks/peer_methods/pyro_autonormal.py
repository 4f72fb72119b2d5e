"""Plain Pyro: priors N(0, 1) on what a PyroModule learns, AutoNormal with its defaults, SVI."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from pyro.infer import SVI, TraceMeanField_ELBO
from pyro.infer.autoguide import AutoNormal
from pyro.nn import PyroModule, PyroSample
from pyro.nn.module import to_pyro_module_
from torch import Tensor, nn

from peer_methods.task import Fitted, Task, averaged
from peer_methods.tyxe_net import falling_adam


class Classifier(PyroModule):
    """The net with priors, and labels by its outputs."""

    def __init__(self, net: nn.Module, rows: int) -> None:
        super().__init__()
        to_pyro_module_(net)
        self.net, self.rows = net, rows
        for module in list(net.modules()):
            for name, parameter in list(module.named_parameters(recurse=False)):
                prior = dist.Normal(0.0, 1.0).expand(parameter.shape)
                setattr(module, name, PyroSample(prior.to_event(parameter.ndim)))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        logits: Tensor = self.net(x)
        with pyro.plate("data", self.rows, subsample=x):
            pyro.sample("y", dist.Categorical(logits=logits), obs=y)
        return logits


def fit(task: Task) -> Fitted:
    pyro.clear_param_store()
    model = Classifier(task.net(), len(task.train))
    guide = AutoNormal(pyro.poutine.block(model, hide=["y"]))
    optimizer = falling_adam(task)
    svi = SVI(model, guide, optimizer, TraceMeanField_ELBO())

    def drawn(x: Tensor) -> Tensor:
        outputs: Tensor = pyro.poutine.condition(model.net, data=guide(x))(x)
        return outputs

    predict = averaged(drawn)
    for epoch in range(1, task.epochs + 1):
        for x, y in task.batches():
            svi.step(x, y)
        optimizer.step()
        task.watch(epoch, predict)
    return Fitted(predict)
