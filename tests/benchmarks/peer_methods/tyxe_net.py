"""TyXe: a Pyro program of the net with a mean-field guide (Ritter and Karaletsos 2022).

Prior N(0, 1) and a guide that begins at the net with a scale of 1e-4, as in its examples; Adam's
rate falls along a cosine from epoch to epoch. The guide is Pyro's: TyXe 0.0.2's own, and with it
local reparameterisation, calls ``pyro.util.deep_getattr``, which Pyro 1.9.2 does not have.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pyro
import pyro.distributions as dist
import torch
from pyro.infer.autoguide import AutoNormal
from torch import Tensor

from peer_methods.task import DRAWS, Fitted, Task, by_parts


class Batches:
    """What TyXe takes for a loader."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.task.batches()


def falling_adam(task: Task) -> pyro.optim.PyroLRScheduler:
    """Pyro's Adam; the rate is that of the epochs for which ``step`` was called."""
    return pyro.optim.PyroLRScheduler(
        torch.optim.lr_scheduler.CosineAnnealingLR,
        {
            "optimizer": torch.optim.Adam,
            "optim_args": {"lr": task.lr},
            "T_max": task.epochs,
        },
    )


def fit(task: Task) -> Fitted:
    import tyxe

    pyro.clear_param_store()
    net = task.net()
    begin = tyxe.guides.PretrainedInitializer.from_net(net)
    guide = partial(AutoNormal, init_loc_fn=begin, init_scale=1e-4)
    prior = tyxe.priors.IIDPrior(dist.Normal(0.0, 1.0))
    likelihood = tyxe.likelihoods.Categorical(len(task.train))
    bnn = tyxe.VariationalBNN(net, prior, likelihood, guide)
    optimizer = falling_adam(task)

    def probabilities(x: Tensor) -> Tensor:
        predicted: Tensor = bnn.predict(x, num_predictions=DRAWS).double().softmax(-1)
        return predicted

    predict = by_parts(probabilities)

    def after_epoch(_: object, index: int, __: float) -> None:
        optimizer.step()
        task.watch(index + 1, predict)

    bnn.fit(Batches(task), optimizer, task.epochs, callback=after_epoch)
    return Fitted(predict)
