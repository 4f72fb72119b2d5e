"""The binary concrete distribution, drawn and scored as a logit."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, constraints, register_kl
from torch.distributions.utils import broadcast_all

from bayesnas.checks import positive
from bayesnas.distributions.shape import Shape
from bayesnas.typed import typed


@typed()
class BinaryConcrete(TorchDistribution):
    r"""A relaxed Bernoulli; the value is the logit :math:`y` of the gate :math:`\sigma(y)`.

    .. math::
        y = \frac{\ln\alpha + \operatorname{logit} u}{\tau},\ u \sim U(0, 1), \qquad
        \ln p(y) = \ln \tau + d - 2\,\mathrm{softplus}(d),\ d = \ln\alpha - \tau y

    A gate in floating point rounds to 0 or 1, where its density is infinite; its logit does
    not, so this density is finite for every draw and for any finite value. P(σ(y) > ½) = σ(ln α)
    at every temperature; τ → 0 gives the Bernoulli.

    Args:
        temperature: τ > 0, a number or a tensor.
        logits: ln α.

    Shapes:
        batch: ``temperature`` and ``logits`` broadcast together; event ``()``.

    Raises:
        ValueError: for a temperature that is not a finite number > 0.

    The KL divergence between two of one temperature has a closed form, d coth(d/2) − 2 with d the
    difference of the logits. Temperatures are one if they are equal numbers or the same tensor;
    others have no closed form, and ``kl_divergence`` raises NotImplementedError.

    References:
        Maddison, Mnih, Teh, *The concrete distribution*, 2017; Jang, Gu, Poole, *Categorical
        reparameterization with Gumbel-softmax*, 2017.

    >>> import torch
    >>> gate = BinaryConcrete(0.1, logits=torch.tensor(0.0))
    >>> gate.log_prob(torch.tensor(900.0))
    tensor(-92.3026)
    """

    arg_constraints = {  # noqa: RUF012
        "temperature": constraints.positive,
        "logits": constraints.real,
    }
    support = constraints.real
    has_rsample = True

    def __init__(
        self, temperature: float | Tensor, *, logits: Tensor, validate_args: bool | None = None
    ) -> None:
        """Broadcast the parameters; see the class."""
        temperature = check_temperature(temperature)
        self._given_temperature = temperature
        self.temperature, self.logits = broadcast_all(temperature, logits)
        super().__init__(self.logits.shape, validate_args=validate_args)

    @property
    def probs(self) -> Tensor:
        """P(gate > ½) = σ(ln α)."""
        return self.logits.sigmoid()

    @property
    def mean(self) -> Tensor:
        """Mean of the logit y, ln α / τ."""
        return self.logits / self.temperature

    @property
    def variance(self) -> Tensor:
        """Variance of the logit y, π² / 3τ²."""
        return math.pi**2 / 3 / self.temperature.square()

    def expand(
        self, batch_shape: Shape, _instance: Distribution | None = None
    ) -> TorchDistribution:
        """Return the same distribution over a larger batch."""
        given = self._given_temperature
        shape = torch.Size(batch_shape)
        if isinstance(given, Tensor) and given.ndim:
            given = self.temperature.expand(shape)
        return type(self)(given, logits=self.logits.expand(shape), validate_args=False)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw logits, differentiable in both parameters."""
        noise = standard_logistic(self._extended_shape(torch.Size(sample_shape)), self.logits)
        return (self.logits + noise) / self.temperature

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of the logit y in nats."""
        if self._validate_args:
            self._validate_sample(value)
        return log_logistic(self.logits - self.temperature * value) + self.temperature.log()

    def entropy(self) -> Tensor:
        """Differential entropy of y, 2 − ln τ."""
        return 2.0 - self.temperature.log()


def check_temperature(temperature: float | Tensor) -> float | Tensor:
    """Return a temperature, a number as a float; a tensor's values are not read."""
    if isinstance(temperature, Tensor):
        return temperature
    return positive("temperature", temperature)


def standard_logistic(shape: torch.Size, like: Tensor) -> Tensor:
    """Draw logit u, u uniform, never infinite."""
    u = torch.rand(shape, dtype=like.dtype, device=like.device)
    limits = torch.finfo(like.dtype)
    u = u.clamp(limits.tiny, 1 - limits.eps)
    return u.log() - (-u).log1p()


def log_logistic(d: Tensor) -> Tensor:
    """Log density of the standard logistic at ±d: d − 2 softplus(d), symmetric in d."""
    return -d.abs() - 2 * F.softplus(-d.abs())


def same_temperature(p: float | Tensor, q: float | Tensor) -> bool:
    """Whether two temperatures are known to be equal without reading a tensor's values."""
    if isinstance(p, Tensor) or isinstance(q, Tensor):
        return p is q
    return p == q


@register_kl(BinaryConcrete, BinaryConcrete)  # type: ignore[untyped-decorator]
def _kl_binary_concrete(q: BinaryConcrete, p: BinaryConcrete) -> Tensor:
    if not same_temperature(q._given_temperature, p._given_temperature):
        raise NotImplementedError("no closed form for binary concretes of two temperatures")
    d = (q.logits - p.logits).abs()
    near = d < 0.3
    # Near 0 the two terms cancel; the series is exact to float64 rounding below 0.3.
    small = torch.where(near, d, 0.0).square()
    series = small * (1 / 6 - small * (1 / 360 - small * (1 / 15120 - small / 604800)))
    large = torch.where(near, 1.0, d)
    return torch.where(near, series, large / (large / 2).tanh() - 2.0)
