"""Numbers with noise of one width."""

from __future__ import annotations

import math

import pyro.distributions as dist
import torch
from torch import Tensor

from bayesnas.checks import positive
from bayesnas.likelihoods.base import (
    Likelihood,
    check_same_shape,
    exactly,
    flat,
    learned_or_fixed,
    positive_or_none,
    rows,
)


class Gaussian(Likelihood):
    """y ~ N(f, s²), s the noise scale: a fixed number, or learned by maximum likelihood.

    Args:
        noise_scale: standard deviation of the noise in units of y, or None to learn it
            (it starts at 1).

    Raises:
        ValueError: for a noise scale that is not positive.

    >>> import torch
    >>> Gaussian(noise_scale=2.0)(torch.zeros(3)).stddev
    tensor([2., 2., 2.])
    """

    name = "gaussian"
    task = "regression"
    outputs = "mean of y"
    log_noise_scale: Tensor

    def __init__(self, noise_scale: float | None = None) -> None:
        """Fix or create the noise scale; see the class."""
        super().__init__()
        self.fixed_scale = positive_or_none("noise_scale", noise_scale)
        learned_or_fixed(self, "log_noise_scale", self.fixed_scale)

    def _apply(self, fn: object, recurse: bool = True) -> Gaussian:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return exactly(self, "log_noise_scale", self.fixed_scale)

    def metaparameters(self) -> tuple[str, ...]:
        """``noise_scale``, where it is fixed."""
        return () if self.fixed_scale is None else ("noise_scale",)

    def set_metaparameter(self, name: str, value: float) -> None:
        """Fix the noise at another scale."""
        self.fixed_scale = positive("noise_scale", value)
        self.log_noise_scale.fill_(math.log(value))

    @property
    def noise_scale(self) -> Tensor:
        """Current standard deviation of the noise, a scalar tensor."""
        return self.log_noise_scale.exp()

    def forward(self, output: Tensor) -> dist.TorchDistribution:
        """Normal with means ``[n]``, or ``[n, k]`` as one event."""
        loc = flat(output)
        return rows(dist.Normal(loc, self.noise_scale), loc)

    def in_units(self, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs are means."""
        return scale, mean

    def check(self, output_shape: torch.Size, y: Tensor, classes: int | None = None) -> None:
        """Targets of the shape of the outputs."""
        check_same_shape("gaussian", output_shape, y)

    def config(self) -> dict[str, object]:
        """Arguments of ``make_likelihood`` that rebuild it, as JSON values."""
        return {"likelihood": self.name, "noise_scale": self.fixed_scale}
