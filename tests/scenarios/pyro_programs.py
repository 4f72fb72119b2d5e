"""Programs of a user's in Pyro that several files of tests fit."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor


def line(x: Tensor, y: Tensor | None = None) -> None:
    """y = w x with a standard normal slope and noise of ½."""
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(w * x, 0.5), obs=y)


def line_guide(x: Tensor, y: Tensor | None = None) -> None:
    """A normal slope."""
    scale = pyro.param("scale", torch.tensor(0.3), constraint=dist.constraints.positive)
    pyro.sample("w", dist.Normal(pyro.param("loc", torch.tensor(0.0)), scale))
