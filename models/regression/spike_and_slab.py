"""Linear and logistic regression under a spike-and-slab prior."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from bayesnas.checks import choice, positive, probability
from bayesnas.distributions import SpikeAndSlab
from bayesnas.distributions.deferred.deferred import Deferred
from bayesnas.distributions.gaussian_divergence import positive_exp
from bayesnas.distributions.weights.gaussian_supports import (
    GaussianSupports,
    all_supports,
    expected_log_prior,
)
from bayesnas.models.regression.base import WEIGHT, LinearModel
from bayesnas.models.regression.gaussian_site import PseudoLikelihood
from bayesnas.models.regression.support_factors import SupportFactors
from bayesnas.models.regression.support_posteriors import fit_supports, rows_worth_fitting
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

_AUTO_FEATURES, _MOST_FEATURES = 12, 16


@typed()
class SpikeAndSlabRegression(LinearModel):
    r"""Regression whose weights are exactly zero with some probability.

    .. math::
        w_j \sim (1 - \pi)\,\delta_0 + \pi\, N(0, s^2), \qquad
        y \sim N(b + (x - c)^\top w,\ \sigma^2)\ \text{or}\ \mathrm{Bernoulli}(\sigma(\cdot))

    Two guides:

    - ``"supports"`` has a probability for every one of the 2^p supports and a Gaussian on each
      (:class:`~bayesnas.distributions.weights.gaussian_supports.GaussianSupports`). It contains the
      exact posterior of linear regression, and follows collinear features. For classes each
      support has a Gaussian of its own, and its probability is off by as much as a Gaussian
      misses of its posterior: for classes that a plane separates, with a slab as wide as 10
      standard deviations of the inputs, inclusion probabilities by up to .02, with 100 by .05.
    - ``"mean-field"`` has independent gates and weights, q(w_j) = spike and slab (Titsias,
      Lázaro-Gredilla 2011; Carbonetto, Stephens 2012). It goes to any number of features, and
      of two features that say the same it keeps one and calls it certain.

    Neither is noisy: the bound has its expectation in closed form (Gaussian) or by quadrature
    (Bernoulli). Under ``pyro.infer.SVI`` take ``TraceMeanField_ELBO``.

    Standardise the features, and the targets or the slab: both scales are in units of y, and
    the prior is the same for all features.

    Args:
        in_features: number p of features.
        inclusion: prior probability π of the slab, in (0, 1).
        slab_scale: s > 0, or ``"learned"`` by type-II maximum likelihood, starting at the
            standard deviation of y.
        noise_scale: σ > 0 of a Gaussian likelihood, None to learn it by type-II maximum
            likelihood.
        likelihood: ``"gaussian"`` or ``"bernoulli"``.
        guide: ``"supports"``, ``"mean-field"``, or ``"auto"``: supports up to 12 features.
        intercept: whether there is one, a point estimate.

    Raises:
        ValueError: naming the argument, what came and what was expected.

    >>> import torch, bayesnas as bn
    >>> x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    >>> model = SpikeAndSlabRegression(3, noise_scale=0.5)
    >>> post = bn.fit(model, (x, 2 * x[:, 0]), steps=300, lr=0.05)
    >>> post.structure()["inclusion"].values.round(1)
    array([1. , 0.1, 0.1], dtype=float32)
    """

    supports: Tensor

    def __init__(
        self,
        in_features: int,
        inclusion: float = 0.5,
        slab_scale: float | str = 1.0,
        noise_scale: float | None = None,
        *,
        likelihood: str = "gaussian",
        guide: str = "auto",
        intercept: bool = True,
    ) -> None:
        """Build prior and guide; see the class."""
        super().__init__(in_features, likelihood, noise_scale, intercept)
        self.inclusion = probability("inclusion", inclusion)
        self._learned_slab = isinstance(slab_scale, str) and slab_scale == "learned"
        if not self._learned_slab:
            slab_scale = positive("slab_scale", slab_scale)
        self.guide_family = _checked_guide(guide, in_features)
        self._config = {
            "in_features": self.in_features,
            "inclusion": self.inclusion,
            "slab_scale": slab_scale,
            "noise_scale": self.noise_scale_given,
            "likelihood": likelihood,
            "guide": guide,
            "intercept": self.intercept is not None,
        }
        if self._learned_slab:
            self.log_slab_scale = nn.Parameter(torch.zeros(()))
        else:
            value = torch.tensor(slab_scale)
            self.register_buffer("log_slab_scale", value.log())
        bernoulli = likelihood == "bernoulli"
        if self.guide_family == "supports":
            self.register_buffer("supports", all_supports(in_features), persistent=False)
            self.rows_to_prepare = rows_worth_fitting(in_features) if bernoulli else 0
            # Where the likelihood is Gaussian one factor serves all supports of the posterior.
            self.data_factor = (
                SupportFactors(len(self.supports), in_features)
                if bernoulli
                else PseudoLikelihood(in_features)
            )
        else:
            self.logit = nn.Parameter(torch.zeros(in_features))
            self.loc = nn.Parameter(torch.zeros(in_features))
            self.log_scale = nn.Parameter(torch.zeros(in_features))

    @property
    def slab_scale(self) -> Tensor:
        """Standard deviation s of the slab, a scalar tensor."""
        return self.log_slab_scale.exp()

    def metaparameters(self) -> tuple[str, ...]:
        """``slab_scale`` and ``noise_scale``, where they are given."""
        return (*(() if self._learned_slab else ("slab_scale",)), *super().metaparameters())

    def set_metaparameter(self, name: str, value: float) -> None:
        """Give slab or noise another scale."""
        if name == "slab_scale" and not self._learned_slab:
            self._config[name] = positive(name, value)
            self.log_slab_scale.fill_(math.log(value))
        else:
            super().set_metaparameter(name, value)

    def gaussian_parameters(self) -> dict[str, str]:
        """Those of the slabs, where the guide is a mean-field one."""
        return {} if self.guide_family == "supports" else {"loc": "log_scale"}

    def prior_parameters(self) -> tuple[str, ...]:
        """The log slab scale, where it is trained."""
        return ("log_slab_scale",) if self._learned_slab else ()

    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Sample w ~ p(w) and y ~ p(y | f); returns f, or its mean under the guide."""
        self.register_with_pyro()
        return self.observe(x, y, pyro.sample(WEIGHT, self.prior()))

    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """Sample w ~ q(w), deferred until something needs its values."""
        self.register_with_pyro()
        pyro.sample(WEIGHT, Deferred(self.weight_posterior()))

    def prior(self) -> TorchDistribution:
        """Independent spikes and slabs, event ``[p]``."""
        logits = torch.full_like(self.centre, self._prior_logit())
        zeros = torch.zeros_like(logits)
        return dist.Independent(SpikeAndSlab(None, zeros, self.slab_scale, logits=logits), 1)

    def _prior_logit(self) -> float:
        return math.log(self.inclusion / (1 - self.inclusion))

    def weight_posterior(self) -> TorchDistribution:
        """q(w): :class:`GaussianSupports`, or independent spikes and slabs."""
        if self.guide_family == "mean-field":
            gated = SpikeAndSlab(None, self.loc, positive_exp(self.log_scale), logits=self.logit)
            return dist.Independent(gated, 1)
        if isinstance(self.data_factor, SupportFactors):
            return self._posterior_of(*self.data_factor())
        return self._posterior_of(*self.data_factor(self.noise_precision()[0]))

    def _posterior_of(
        self, linear: Tensor, precision: Tensor, log_factors: Tensor | None = None
    ) -> GaussianSupports:
        """Prior times a Gaussian factor that stands for the data."""
        log_scale = self.log_slab_scale.double()
        # The prior in the same form: log odds of an open gate at w = 0, and the slab's precision.
        gate = self._prior_logit() - log_scale - 0.5 * math.log(2 * math.pi)
        prior_precision = (-2 * log_scale).exp() * torch.eye(
            self.in_features, dtype=precision.dtype, device=precision.device
        )
        return GaussianSupports(
            gate.expand(self.in_features),
            linear,
            precision + prior_precision,
            self.supports,
            dtype=self.centre.dtype,
            log_factors=log_factors,
        )

    @torch.no_grad()
    def prepare(self, x: Tensor, y: Tensor) -> None:
        """Take units and coordinates from a first batch."""
        super().prepare(x, y)
        if self.guide_family == "supports":
            if isinstance(self.data_factor, SupportFactors):
                self.data_factor.prepare(*self._best_factors(x, y))
            else:
                self.data_factor.prepare(x - self.centre, self.response(y), self.y_scale)

    def _best_factors(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """η, Λ and ln c of every support, such that its weight is what its bound gives.

        From anywhere else the weight of a support is gone before its Gaussian has come to fit.
        """
        every = math.ceil(len(x) / self.rows_to_prepare)
        x, y = x[::every], y[::every]
        slab = self.slab_scale.double()
        best = fit_supports(x - self.centre, self.likelihood.target(y), self.supports, slab**-2)
        q = self._posterior_of(best.linear, best.precision)
        bounds = best.log_lik + expected_log_prior(q, self.prior()) - q.negative_entropies()
        log_factors = bounds - q.log_weights
        return best.linear, best.precision, log_factors - log_factors.max()

    @torch.no_grad()
    def reset(self) -> None:
        """Start at the posterior of the first batch, or mean-field at the prior's gates."""
        super().reset()
        if self._learned_slab:
            self.log_slab_scale.copy_(self.y_scale.log())
        if self.guide_family == "supports":
            self.data_factor.reset()
        else:
            self.logit.fill_(self._prior_logit())
            self.loc.copy_(0.01 * torch.randn_like(self.loc) * self.y_scale / self.x_scale)
            self.log_scale.copy_((0.1 * self.y_scale / self.x_scale).log())

    @torch.no_grad()
    def log_evidence(self, x: Tensor, y: Tensor) -> Tensor | None:
        """The sum over all 2^p supports, of a Gaussian likelihood and up to 16 features."""
        if self.task != "regression" or self.in_features > _MOST_FEATURES:
            return None
        supports = all_supports(self.in_features).to(x.device)
        scales = self.slab_scale.double().expand(self.in_features)
        size = supports.sum(-1).double()
        log_prior = size * math.log(self.inclusion)
        log_prior = log_prior + (self.in_features - size) * math.log1p(-self.inclusion)
        return (log_prior + self.evidence_of_supports(x, y, scales, supports)).logsumexp(0)

    def structure(self) -> xr.Dataset:
        """P(w_j ≠ 0) of every feature, variable ``inclusion`` with dim ``feature``."""
        import xarray as xr

        with torch.no_grad():
            q = self.weight_posterior()
            attrs: dict[str, Any] = {
                "quantity": "posterior probability that the weight is not zero"
            }
            if isinstance(q, GaussianSupports):  # its gates are not independent
                inclusion = q.inclusion
                attrs["entropy"] = torch.special.entr(q.weights).sum().item()
            else:
                inclusion = q.base_dist.probs
                attrs["events"] = "independent"
        values = inclusion.clamp(0.0, 1.0).cpu().numpy()
        return xr.Dataset({"inclusion": ("feature", values)}, attrs=attrs)

    def config(self) -> dict[str, Any]:
        """Constructor arguments as JSON values."""
        return dict(self._config)


def _checked_guide(guide: str, features: int) -> str:
    choice("guide", guide, ("auto", "supports", "mean-field"))
    if guide == "auto":
        return "supports" if features <= _AUTO_FEATURES else "mean-field"
    if guide == "supports" and features > _MOST_FEATURES:
        raise ValueError(
            f"guide='supports' visits all 2^p supports and takes in_features <= {_MOST_FEATURES}, "
            f"got {features}: take guide='mean-field'"
        )
    return guide
