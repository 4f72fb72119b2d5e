"""Counts that vary more than their mean."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
import torch.nn.functional as F
from torch import Tensor

from bayesnas.likelihoods.base import (
    Likelihood,
    check_counts,
    check_same_shape,
    exactly,
    flat,
    learned_or_fixed,
    positive_or_none,
    rows,
)
from bayesnas.log_beta import log_beta


class NegativeBinomialOfLogs(dist.NegativeBinomial):  # type: ignore[misc]
    """A negative binomial by the logarithms of its mean and its dispersion.

    torch adds three log-gammas that cancel: in single precision they are off by 54 nats at y = 3
    and a dispersion of 1e-8. Here they are one beta function, in double precision.

    >>> NegativeBinomialOfLogs(torch.tensor(0.0), torch.tensor(-200.0)).log_prob(torch.tensor(0.0))
    tensor(-1.)
    """

    def __init__(
        self, log_mean: Tensor, log_dispersion: Tensor, validate_args: bool | None = None
    ) -> None:
        """Keep the logarithms; see the class."""
        self.log_mean, self.log_dispersion = torch.broadcast_tensors(log_mean, log_dispersion)
        super().__init__(
            (-self.log_dispersion).exp(),
            logits=self.log_mean + self.log_dispersion,
            validate_args=validate_args,
        )

    def expand(
        self, batch_shape: Sequence[int], _instance: object = None
    ) -> NegativeBinomialOfLogs:
        """Return the same over a larger batch."""
        shape = torch.Size(batch_shape)
        log_mean, log_dispersion = self.log_mean.expand(shape), self.log_dispersion.expand(shape)
        return NegativeBinomialOfLogs(log_mean, log_dispersion, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log probability of counts, in nats."""
        y, log_dispersion = value.double(), self.log_dispersion.double()
        count, logits = (-log_dispersion).exp(), self.log_mean.double() + log_dispersion
        ways = -log_beta(count, y + 1) - (count + y).log()
        log_prob: Tensor = ways - count * F.softplus(logits) + y * F.logsigmoid(logits)
        return log_prob.to(self.log_mean.dtype)


class NegativeBinomial(Likelihood):
    r"""Counts y with mean μ = exp(f) and variance μ + α μ², f ``[n]``, ``[n, 1]`` or ``[n, k]``.

    .. math::
        p(y \mid f) = \frac{\Gamma(y + 1/\alpha)}{y!\, \Gamma(1/\alpha)}
        (1 + \alpha\mu)^{-1/\alpha} \left(\frac{\alpha\mu}{1 + \alpha\mu}\right)^y

    a Poisson distribution whose rate is μ times a Gamma variable of mean 1 and variance α.

    Args:
        dispersion: α > 0, or None to learn it by maximum likelihood (it starts at 1).

    Raises:
        ValueError: naming the argument, what came and what was expected.

    References:
        Cameron, Trivedi, *Regression analysis of count data*, 1998, the model NB2.

    >>> counts = NegativeBinomial(dispersion=0.5)(torch.tensor([0.0]))
    >>> counts.mean, counts.variance
    (tensor([1.]), tensor([1.5000]))
    """

    name = "negative-binomial"
    task = "regression"
    outputs = "logarithm of the mean of y"
    log_dispersion: Tensor

    def __init__(self, dispersion: float | None = None) -> None:
        """Fix or create the dispersion; see the class."""
        super().__init__()
        self.fixed_dispersion = positive_or_none("dispersion", dispersion)
        learned_or_fixed(self, "log_dispersion", self.fixed_dispersion)

    def _apply(self, fn: object, recurse: bool = True) -> NegativeBinomial:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return exactly(self, "log_dispersion", self.fixed_dispersion)

    @property
    def dispersion(self) -> Tensor:
        """Current α, a scalar tensor."""
        return self.log_dispersion.exp()

    def forward(self, output: Tensor) -> dist.TorchDistribution:
        """Negative binomial with log means ``[n]``, or ``[n, k]`` as one event."""
        log_mean = flat(output)
        return rows(NegativeBinomialOfLogs(log_mean, self.log_dispersion), log_mean)

    def check(self, output_shape: torch.Size, y: Tensor, classes: int | None = None) -> None:
        """Counts of the shape of the outputs."""
        check_same_shape(self.name, output_shape, y)
        check_counts(self.name, y)

    def config(self) -> dict[str, object]:
        """Arguments of ``make_likelihood`` that rebuild it, as JSON values."""
        if self.fixed_dispersion is None:
            return super().config()
        return {"likelihood": {"name": self.name, "dispersion": self.fixed_dispersion}}
