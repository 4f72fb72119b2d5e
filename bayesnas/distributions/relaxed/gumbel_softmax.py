"""The Gumbel-Softmax (concrete) distribution, scored in log space."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, constraints, register_kl

from bayesnas.distributions.relaxed.binary_concrete import check_temperature, same_temperature
from bayesnas.distributions.relaxed.simplex_points import log_of, simplex_point
from bayesnas.distributions.shape import Shape
from bayesnas.typed import typed

_STEP = 0.5  # of the trapezoidal rule behind the KL divergence; its error is below 1e-11
_REACH = 40.0  # where its integrand is below 1e-17


@typed()
class GumbelSoftmax(TorchDistribution):
    r"""A relaxed categorical: a point x inside the simplex.

    .. math::
        x = \mathrm{softmax}\left(\frac{\ln\alpha + g}{\tau}\right),\ g_k \sim \mathrm{Gumbel},
        \qquad P(\arg\max x = k) = \alpha_k / \sum_j \alpha_j

    .. math::
        \ln p(x) = \ln\Gamma(K) + (K - 1) \ln\tau + \sum_k (\ln\alpha_k - (\tau + 1) \ln x_k)
            - K \ln \sum_k \alpha_k x_k^{-\tau}

    τ → 0 gives the vertices, τ → ∞ the centre. The density is with respect to Lebesgue measure
    on the first K − 1 coordinates, as that of ``Dirichlet``. A draw carries its ln x (see
    :mod:`bayesnas.distributions.relaxed.simplex_points`), so this density is exact and finite where
    x rounds to a vertex; the numbers in x are at least the smallest normal one.

    Args:
        temperature: τ > 0: a number, or a tensor that broadcasts with ``logits`` and has one
            value a distribution, ``[]`` or ``[..., 1]``.
        logits: ln α, ``[..., K]``, not normalised; K ≥ 2.

    Shapes:
        batch: that of ``logits`` without the last dim, broadcast with ``temperature``.
        event: ``[K]``.

    Raises:
        ValueError: for a temperature that is not a finite number > 0 or has several values for
            one distribution, or logits of fewer than two classes.

    The KL divergence of two of one temperature (equal numbers, or the same tensor) does not
    depend on it and has a closed form, see ``kl_divergence``. Others raise NotImplementedError:
    take log q − log p at a draw.

    References:
        Maddison, Mnih, Teh, *The concrete distribution*, 2017; Jang, Gu, Poole, *Categorical
        reparameterization with Gumbel-softmax*, 2017.

    >>> import torch
    >>> gamma = GumbelSoftmax(0.05, logits=torch.zeros(16))
    >>> draws = gamma.rsample((1000,))
    >>> bool(draws.log().isinf().any()), bool(gamma.log_prob(draws).isfinite().all())
    (False, True)
    """

    arg_constraints = {"logits": constraints.real_vector}  # noqa: RUF012
    support = constraints.simplex
    has_rsample = True

    def __init__(
        self, temperature: float | Tensor, *, logits: Tensor, validate_args: bool | None = None
    ) -> None:
        """Broadcast the parameters; see the class."""
        temperature = check_temperature(temperature)
        if logits.ndim < 1 or logits.shape[-1] < 2:
            raise ValueError(f"logits must be [..., K] with K >= 2, got {list(logits.shape)}")
        self._given_temperature = temperature
        tau = torch.as_tensor(temperature, dtype=logits.dtype, device=logits.device)
        if tau.ndim and tau.shape[-1] != 1:
            raise ValueError(
                "temperature must have one value a distribution, [] or [..., 1], "
                f"got {list(tau.shape)} for logits {list(logits.shape)}"
            )
        tau = tau if tau.ndim else tau[None]
        batch = torch.broadcast_shapes(tau.shape[:-1], logits.shape[:-1])
        self.temperature = tau.expand(*batch, 1)
        self.logits = logits.expand(*batch, logits.shape[-1])
        super().__init__(batch, logits.shape[-1:], validate_args=validate_args)
        if self._validate_args and not bool((tau > 0).all()):
            raise ValueError(f"temperature must be > 0, got {temperature}")

    @property
    def probs(self) -> Tensor:
        """P(argmax x = k) = α_k / Σ α, ``[..., K]``."""
        return self.logits.softmax(-1)

    def expand(
        self, batch_shape: Shape, _instance: Distribution | None = None
    ) -> TorchDistribution:
        """Return the same distribution over a larger batch."""
        given, shape = self._given_temperature, torch.Size(batch_shape)
        if isinstance(given, Tensor) and given.ndim:
            given = self.temperature.expand(*shape, 1)
        logits = self.logits.expand(*shape, *self.event_shape)
        return type(self)(given, logits=logits, validate_args=False)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw points of the simplex, differentiable in both parameters."""
        shape = self._extended_shape(torch.Size(sample_shape))
        u = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        gumbel = -(-u.clamp_min(torch.finfo(u.dtype).tiny).log()).log()
        return simplex_point(((self.logits + gumbel) / self.temperature).log_softmax(-1))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density at points of the simplex, in nats, ``[...]``."""
        if self._validate_args:
            self._validate_sample(value)
        log_x = log_of(value)
        classes = self.event_shape[0]
        scores = self.logits - self.temperature * log_x
        normaliser = math.lgamma(classes) + (classes - 1) * self.temperature[..., 0].log()
        return normaliser + (scores - log_x).sum(-1) - classes * scores.logsumexp(-1)

    def _validate_sample(self, value: Tensor) -> None:
        """Raise unless the values lie on the simplex up to rounding; torch's own is stricter."""
        if value.shape[-1:] != self.event_shape:
            raise ValueError(f"value must be [..., {self.event_shape[0]}], got {list(value.shape)}")
        slack = 100 * torch.finfo(value.dtype).eps * value.shape[-1]
        if not bool(((value >= 0).all(-1) & ((value.sum(-1) - 1).abs() <= slack)).all()):
            raise ValueError("value must lie on the simplex: coordinates >= 0 that sum to 1")


@register_kl(GumbelSoftmax, GumbelSoftmax)  # type: ignore[untyped-decorator]
def _kl_gumbel_softmax(q: GumbelSoftmax, p: GumbelSoftmax) -> Tensor:
    r"""KL = −Σ ln r_k + K E ln⟨u, r⟩, r = α_p/α_q and u uniform on the simplex.

    The mean is a divided difference of r^{K−1} ln r, which cancels for near ratios. It is also

    .. math:: E \ln \langle u, r\rangle
        = \int \left[(1 + e^v)^{-K} - \prod_k (1 + r_k e^v)^{-1}\right] dv,

    analytic for |Im v| < π, so that the trapezoidal rule converges exponentially, ties or not.
    """
    if not same_temperature(q._given_temperature, p._given_temperature):
        raise NotImplementedError("no closed form for Gumbel-Softmaxes of two temperatures")
    if q.event_shape != p.event_shape:
        raise ValueError(
            f"q and p must have as many classes, got {q.event_shape[0]} and {p.event_shape[0]}"
        )
    classes = q.event_shape[0]
    log_ratio = (p.logits - q.logits).double()
    log_ratio = log_ratio - log_ratio.detach().amax(-1, keepdim=True)  # r is free up to a factor
    count = int(2 * _REACH / _STEP) + 1
    v = torch.linspace(-_REACH, _REACH, count, dtype=torch.float64, device=log_ratio.device)
    log_product = F.softplus(log_ratio[..., None, :] + v[:, None]).sum(-1)
    mean_log = _STEP * ((-classes * F.softplus(v)).exp() - (-log_product).exp()).sum(-1)
    return (classes * mean_log - log_ratio.sum(-1)).to(q.logits.dtype)
