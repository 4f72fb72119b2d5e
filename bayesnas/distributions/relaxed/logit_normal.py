"""The logit-normal distribution, in the cube or by stick-breaking on the simplex."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, Normal, constraints, register_kl
from torch.distributions.utils import broadcast_all

from bayesnas.checks import choice
from bayesnas.distributions.gaussian_divergence import gaussian_divergence
from bayesnas.distributions.logistic_averages import expected_sigmoid
from bayesnas.distributions.relaxed.simplex_points import (
    cube_point,
    log_of,
    logit_of,
    simplex_point,
)
from bayesnas.distributions.shape import Shape
from bayesnas.typed import typed

DOMAINS = ("cube", "simplex")


@typed()
class LogitNormal(TorchDistribution):
    r"""A Gaussian z ~ N(μ, σ²) carried into the cube or onto the simplex.

    .. math::
        \text{cube:}\quad & x = \sigma(z) \\
        \text{simplex:}\quad & x_k = \sigma(z_k - \ln(K - k)) \prod_{j<k} (1 - \sigma(z_j -
            \ln(K - j))),\ k = 1..K-1, \qquad x_K = 1 - \sum_{k<K} x_k

    In the cube the coordinates are independent; on the simplex z has one coordinate fewer than x,
    and z = 0 is the centre. The density is with respect to Lebesgue measure, on the simplex that
    of the first K − 1 coordinates. A draw carries its ln x or logit x (see
    :mod:`bayesnas.distributions.relaxed.simplex_points`), so its density is exact where x rounds to
    a face.

    Args:
        loc: μ.
        scale: σ > 0.
        domain: ``"cube"`` or ``"simplex"``.

    Shapes:
        cube: batch that of ``loc`` and ``scale`` broadcast, event ``[]``.
        simplex: parameters ``[..., K - 1]``; batch ``[...]``, event ``[K]``.

    Raises:
        ValueError: for an unknown domain, or scalar parameters on the simplex.

    The KL divergence of two on one domain is that of their Gaussians.

    References:
        Aitchison, Shen, *Logistic-normal distributions*, 1980; stick-breaking as in Linderman,
        Johnson, Adams, *Dependent multinomial models made easy*, 2015.

    >>> import torch
    >>> from torch.distributions import kl_divergence
    >>> q = LogitNormal(torch.tensor([0.5, -1.0]), torch.tensor(1.0), domain="simplex")
    >>> p = LogitNormal(torch.zeros(2), torch.tensor(1.0), domain="simplex")
    >>> q.sample().shape, kl_divergence(q, p)
    (torch.Size([3]), tensor(0.6250))
    """

    arg_constraints = {  # noqa: RUF012
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        scale: Tensor,
        *,
        domain: str = "cube",
        validate_args: bool | None = None,
    ) -> None:
        """Broadcast the parameters; see the class."""
        choice("domain", domain, list(DOMAINS))
        self.domain = domain
        self.loc, self.scale = broadcast_all(loc, scale)
        shape = self.loc.shape
        if domain == "simplex" and (not shape or shape[-1] < 1):
            raise ValueError(
                f"loc must be [..., K - 1] with K >= 2 on the simplex, got {list(shape)}"
            )
        batch = shape if domain == "cube" else shape[:-1]
        event = torch.Size() if domain == "cube" else torch.Size([shape[-1] + 1])
        super().__init__(batch, event, validate_args=validate_args)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """The unit interval or the simplex."""
        return constraints.unit_interval if self.domain == "cube" else constraints.simplex

    @property
    def mean(self) -> Tensor:
        """E x, by quadrature in every coordinate of z, to about 1e-6 for any σ."""
        z = self.loc if self.domain == "cube" else self.loc - _offsets(self.loc)
        share, rest = expected_sigmoid(z, self.scale), expected_sigmoid(-z, self.scale)
        if self.domain == "cube":
            return share
        one = torch.ones_like(share[..., :1])
        return torch.cat([share, one], -1) * torch.cat([one, rest.cumprod(-1)], -1)

    @property
    def base(self) -> Normal:
        """The distribution of z."""
        return Normal(self.loc, self.scale, validate_args=False)

    def expand(
        self, batch_shape: Shape, _instance: Distribution | None = None
    ) -> TorchDistribution:
        """Return the same distribution over a larger batch."""
        shape = torch.Size(batch_shape) + self.loc.shape[len(self.batch_shape) :]
        loc, scale = self.loc.expand(shape), self.scale.expand(shape)
        return LogitNormal(loc, scale, domain=self.domain, validate_args=False)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw points of the domain, differentiable in both parameters."""
        z = self.base.rsample(torch.Size(sample_shape))
        return cube_point(z) if self.domain == "cube" else simplex_point(log_sticks(z))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density at points of the domain, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        if self.domain == "cube":
            z = logit_of(value)
            cube: Tensor = self.base.log_prob(z) - F.logsigmoid(z) - F.logsigmoid(-z)
            return cube
        log_x = log_of(value)
        z = sticks_of(log_x)
        # Σ ln dx_k/dz_k = Σ ln x_k + Σ ln(1 − σ_k), where 1 − σ_k is what is left after break k
        # over what was left before it: the second sum is ln x_K.
        simplex: Tensor = self.base.log_prob(z).sum(-1) - log_x.sum(-1)
        return simplex

    def _validate_sample(self, value: Tensor) -> None:
        """Raise unless the values lie in the domain up to rounding."""
        inside = ((value >= 0) & (value <= 1)).all()
        if self.domain == "simplex":
            if value.shape[-1:] != self.event_shape:
                raise ValueError(
                    f"value must be [..., {self.event_shape[0]}], got {list(value.shape)}"
                )
            slack = 100 * torch.finfo(value.dtype).eps * value.shape[-1]
            inside = inside & ((value.sum(-1) - 1).abs() <= slack).all()
        if not bool(inside):
            raise ValueError(f"value must lie in the {self.domain}")


def log_sticks(z: Tensor) -> Tensor:
    """Ln x of the point of the simplex that breaking sticks at z, ``[..., K - 1]``, gives."""
    z = z - _offsets(z)
    zero = torch.zeros_like(z[..., :1])
    log_rest = torch.cat([zero, F.logsigmoid(-z).cumsum(-1)], -1)
    return log_rest + torch.cat([F.logsigmoid(z), zero], -1)


def sticks_of(log_x: Tensor) -> Tensor:
    """Where the sticks of a point of the simplex were broken: the inverse of :func:`log_sticks`."""
    log_rest = log_x.flip(-1).logcumsumexp(-1).flip(-1)[..., 1:]
    z = log_x[..., :-1] - log_rest
    return z + _offsets(z)


def _offsets(z: Tensor) -> Tensor:
    """ln(K − k): with them z = 0 is the centre."""
    count = z.shape[-1]
    logs = [math.log(count - k) for k in range(count)]
    return torch.tensor(logs, dtype=z.dtype, device=z.device)


@register_kl(LogitNormal, LogitNormal)  # type: ignore[untyped-decorator]
def _kl_logit_normal(q: LogitNormal, p: LogitNormal) -> Tensor:
    if (q.domain, q.event_shape) != (p.domain, p.event_shape):
        raise NotImplementedError("no closed form for logit-normals on two domains")
    kl = gaussian_divergence(q.loc, q.scale.log(), p.loc, p.scale, p.scale.log())
    return kl if q.domain == "cube" else kl.sum(-1)
