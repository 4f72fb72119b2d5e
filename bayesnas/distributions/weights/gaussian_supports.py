"""A vector of weights with a Gaussian for every support: the sharpest spike-and-slab guide."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, constraints, register_kl

from bayesnas.distributions.deferred.expected_likelihoods import ExpectedNormal
from bayesnas.distributions.shape import Shape
from bayesnas.distributions.unbatched import Unbatched
from bayesnas.distributions.weights.spike_and_slab import SpikeAndSlab


class GaussianSupports(Unbatched):
    r"""Weights :math:`w \in R^p` with a probability for every support Γ and a Gaussian on each.

    .. math::
        q(\Gamma, w) \propto \exp\left(\sum_{j \in \Gamma} \theta_j
        + \eta_\Gamma^\top w_\Gamma - \tfrac12 w_\Gamma^\top \Lambda_{\Gamma\Gamma} w_\Gamma
        \right) \prod_{j \notin \Gamma} \delta_0(w_j)

    The weights outside Γ are 0. The posterior of linear regression under a spike-and-slab
    prior is of this form exactly, with correlations between gates as between weights. All
    supports that are given are visited, so a full list costs O(2^p p³).

    Args:
        gate: θ, ``[p]``.
        linear: η, ``[p]``; or one for every support, ``[S, p]``.
        precision: Λ, ``[p, p]``, positive definite; or one for every support, ``[S, p, p]``.
        supports: boolean ``[S, p]``, the supports; by default the full one alone, which is an
            ordinary Gaussian N(Λ⁻¹η, Λ⁻¹).
        dtype: of draws, moments and densities; the algebra is done in the type of ``precision``.
        log_factors: of the weight of every support, ``[S]``; by default zeros.

    Shapes:
        event ``[p]``; batch ``()``.

    >>> import torch
    >>> q = GaussianSupports(
    ...     torch.zeros(2), torch.tensor([3.0, 0.0]), torch.eye(2), all_supports(2))
    >>> q.inclusion
    tensor([0.9956, 0.7148])
    """

    arg_constraints = {}  # noqa: RUF012
    has_rsample = False
    supports: Tensor
    means: Tensor
    log_weights: Tensor
    _factor: Tensor
    _root: Tensor
    _log_det: Tensor

    def __init__(
        self,
        gate: Tensor,
        linear: Tensor,
        precision: Tensor,
        supports: Tensor | None = None,
        dtype: torch.dtype | None = None,
        log_factors: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        """Solve for every support; see the class."""
        features = linear.shape[-1]
        if supports is None:
            supports = torch.ones(1, features, dtype=torch.bool, device=linear.device)
        self.supports = supports
        self._dtype = linear.dtype if dtype is None else dtype
        on = supports.to(precision)
        outside = torch.diag_embed(1 - on)
        # Rows and columns outside a support are those of the identity, and drop out.
        within = precision * on[:, :, None] * on[:, None, :] + outside
        self._factor = torch.linalg.cholesky(within)
        eye = torch.eye(features, dtype=precision.dtype, device=precision.device)
        inverse = torch.linalg.solve_triangular(self._factor, eye.expand_as(within), upper=False)
        self._root = inverse.mT * on[:, :, None] * on[:, None, :]  # covariance = root rootᵀ
        whitened = (inverse @ (linear * on)[:, :, None])[:, :, 0]
        self.means = (self._root @ whitened[:, :, None])[:, :, 0]
        self._log_det = self._factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        size = on.sum(-1)
        energy = (
            on @ gate.to(on)
            + 0.5 * whitened.square().sum(-1)
            - self._log_det
            + 0.5 * math.log(2 * math.pi) * size
        )
        if log_factors is not None:
            energy = energy + log_factors.to(energy)
        self.log_weights = energy - energy.logsumexp(-1)
        super().__init__(torch.Size(), torch.Size([features]), validate_args=validate_args)

    support = constraints.real_vector

    @property
    def weights(self) -> Tensor:
        """Probability of every support, ``[S]``."""
        return self.log_weights.exp()

    @property
    def inclusion(self) -> Tensor:
        """P(j ∈ Γ), ``[p]``."""
        probabilities: Tensor = (self.weights @ self.supports.to(self.weights)).to(self._dtype)
        return probabilities

    @property
    def mean(self) -> Tensor:
        """E w, ``[p]``."""
        mean: Tensor = (self.weights @ self.means).to(self._dtype)
        return mean

    @property
    def variance(self) -> Tensor:
        """Variances of the weights, ``[p]``."""
        return self.covariance_matrix.diagonal().to(self._dtype)

    @property
    def covariance_matrix(self) -> Tensor:
        """Covariance of w over supports and within them, ``[p, p]``, in the algebra's type."""
        weights = self.weights
        within = torch.einsum("s,sij,skj->ik", weights, self._root, self._root)
        centred = self.means - weights @ self.means
        return within + torch.einsum("s,si,sk->ik", weights, centred, centred)

    def predictor(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of x w, each ``[n]``, for rows x ``[n, p]``."""
        x = x.to(self.means)
        mean = x @ (self.weights @ self.means)
        return mean, ((x @ self.covariance_matrix) * x).sum(-1)

    def predictor_components(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The distribution of x w as a mixture: weights ``[S]``, means and variances ``[n, S]``."""
        x = x.to(self.means)
        spread = torch.einsum("np,spj->nsj", x, self._root)
        return self.weights, x @ self.means.mT, spread.square().sum(-1)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw weights, zero outside the support drawn; no gradient."""
        shape = torch.Size(sample_shape)
        with torch.no_grad():
            chosen = torch.multinomial(self.weights, max(shape.numel(), 1), replacement=True)
            noise = torch.randn(
                len(chosen), *self.event_shape, dtype=self.means.dtype, device=self.means.device
            )
            draws = self.means[chosen] + (self._root[chosen] @ noise[:, :, None])[:, :, 0]
            return draws.reshape(shape + self.event_shape).to(self._dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density, with respect to Lebesgue measure on the support and mass at 0 off it."""
        batch = value.shape[:-1]
        flat = value.reshape(-1, self.event_shape[0]).to(self.means)
        if len(self.supports) == 1:
            index = torch.zeros(len(flat), dtype=torch.long, device=flat.device)
        else:
            same = ((flat != 0)[:, None, :] == self.supports).all(-1)
            index = same.long().argmax(-1)
        centred = ((flat - self.means[index]) * self.supports[index])[:, None, :]
        whitened = (centred @ self._factor[index])[:, 0, :]
        size = self.supports[index].sum(-1)
        log_density = (
            self.log_weights[index]
            + self._log_det[index]
            - 0.5 * whitened.square().sum(-1)
            - 0.5 * math.log(2 * math.pi) * size
        )
        return log_density.reshape(batch).to(self._dtype)

    def second_moments(self) -> Tensor:
        """E[w_j² | Γ] of every support, ``[S, p]``."""
        return self.means.square() + self._root.square().sum(-1)

    def negative_entropies(self) -> Tensor:
        """E ln q(w | Γ) of every support, ``[S]`` in the algebra's type."""
        size = self.supports.sum(-1)
        return self._log_det - 0.5 * (1 + math.log(2 * math.pi)) * size


def all_supports(features: int) -> Tensor:
    """Every subset of ``features`` features, boolean ``[2^p, p]``.

    >>> all_supports(2).long()
    tensor([[0, 0],
            [1, 0],
            [0, 1],
            [1, 1]])
    """
    codes = torch.arange(2**features)[:, None]
    return (codes >> torch.arange(features)).bitwise_and(1).bool()


@register_kl(GaussianSupports, Independent)  # type: ignore[untyped-decorator]
def _kl_gaussian_supports(q: GaussianSupports, p: Independent[Any]) -> Tensor:
    """KL to independent Gaussians, their precisions known or averaged, or to spikes and slabs."""
    divergence = q.log_weights + q.negative_entropies() - expected_log_prior(q, p)
    return (q.weights * divergence).sum().to(q.mean.dtype)


def expected_log_prior(q: GaussianSupports, p: Independent[Any]) -> Tensor:
    """E ln p(Γ, w) over w of every support, ``[S]`` in the algebra's type."""
    prior = p.base_dist
    if prior.batch_shape != q.event_shape:
        raise NotImplementedError("a prior of independent weights is needed")
    loc, precision, log_precision = (value.to(q.means) for value in _slab(prior))
    distance = q.second_moments() - 2 * q.means * loc + loc.square()  # E (w − m)² on a support
    log_slab = 0.5 * (log_precision - precision * distance - math.log(2 * math.pi))
    on = q.supports.to(q.means)
    log_prior = (on * log_slab).sum(-1)
    if isinstance(prior, SpikeAndSlab):
        log_on, log_off = (value.to(q.means) for value in prior.log_probs)
        log_prior = log_prior + on @ log_on + (1 - on) @ log_off
    return log_prior


def _slab(prior: Distribution) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, precision and log precision of a Gaussian prior or of a slab."""
    if isinstance(prior, ExpectedNormal):
        return prior.loc, prior.precision, prior.log_precision
    if isinstance(prior, (Normal, SpikeAndSlab)):
        return prior.loc, prior.scale.double() ** -2, -2 * prior.scale.double().log()
    raise NotImplementedError("closed forms are known for Gaussian and spike-and-slab priors")
