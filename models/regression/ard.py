"""Linear regression with automatic relevance determination (MacKay 1992; Neal 1996)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from bayesnas.checks import choice
from bayesnas.complexity import ANY_SCALE, PriorScales, ScaleRange, smallest_kl_of_layers
from bayesnas.distributions import GaussianWeights
from bayesnas.distributions.deferred.deferred import Deferred, DeferredDraw
from bayesnas.distributions.deferred.expected_likelihoods import ExpectedNormal
from bayesnas.distributions.weights.gaussian_supports import GaussianSupports
from bayesnas.models.regression.base import WEIGHT, LinearModel
from bayesnas.models.regression.gaussian_site import PseudoLikelihood
from bayesnas.models.site_kinds import DATA_PLATE, OBSERVED
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

PRECISION, NOISE_PRECISION = "precision", "noise_precision"
_VAGUE = 1e-6  # shape and rate of every hyperprior, as in scikit-learn


@typed()
class ArdRegression(LinearModel):
    r"""Linear regression in which every weight has a prior variance of its own.

    .. math::
        w_j \sim N(0, \alpha_j^{-1}), \qquad y \sim N(b + (x - c)^\top w,\ \tau^{-1})

    Maximising the evidence sends the prior variance of a feature that explains nothing to 0,
    and its weight with it. The guide of w is a full-covariance Gaussian which contains the exact
    posterior, so the bound at λ = 1 is the log evidence, without noise.

    Args:
        in_features: number p of features.
        noise_scale: 1/√τ, None to learn it like the other hyperparameters.
        hyperparameters: how α (and a τ to learn) are found. ``"maximum"``: type-II maximum
            likelihood, α and τ are parameters. ``"posterior"``: full variational Bayes,
            α_j, τ ~ Gamma(1e-6, 1e-6) with Gamma posteriors, at the sites ``"precision"`` and
            ``"noise_precision"``.
        intercept: whether there is one, a point estimate.

    Raises:
        ValueError: naming the argument, what came and what was expected.

    References:
        MacKay, *Bayesian interpolation*, 1992; Tipping, *Sparse Bayesian learning and the
        relevance vector machine*, 2001; Bishop, Tipping, *Variational relevance vector
        machines*, 2000.

    >>> import torch, bayesnas as bn
    >>> x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    >>> y = 2 * x[:, 0] + 0.1 * torch.randn(60, generator=torch.Generator().manual_seed(1))
    >>> post = bn.fit(ArdRegression(3), (x, y), steps=500, lr=0.05)
    >>> post.structure()["inclusion"].values.round(1)
    array([1., 0., 0.], dtype=float32)
    """

    upper_level = ("log_prior_scale",)

    def __init__(
        self,
        in_features: int,
        noise_scale: float | None = None,
        *,
        hyperparameters: str = "maximum",
        intercept: bool = True,
    ) -> None:
        """Build prior and guide; see the class."""
        super().__init__(in_features, "gaussian", noise_scale, intercept)
        choice("hyperparameters", hyperparameters, ("maximum", "posterior"))
        self.hyperparameters = hyperparameters
        self._config = {
            "in_features": self.in_features,
            "noise_scale": self.noise_scale_given,
            "hyperparameters": hyperparameters,
            "intercept": self.intercept is not None,
        }
        self.data_factor = PseudoLikelihood(in_features)
        self._noise_posterior = hyperparameters == "posterior" and noise_scale is None
        if hyperparameters == "maximum":
            self.log_prior_scale = nn.Parameter(torch.zeros(in_features))
        else:
            self.log_shape = nn.Parameter(torch.zeros(in_features))
            self.log_rate = nn.Parameter(torch.zeros(in_features))
        if self._noise_posterior:
            self.likelihood.log_noise_scale.requires_grad_(False)
            self.log_noise_shape = nn.Parameter(torch.zeros(()))
            self.log_noise_rate = nn.Parameter(torch.zeros(()))

    def prior_parameters(self) -> tuple[str, ...]:
        """Ln 1/√α of every feature, where it is a parameter."""
        return ("log_prior_scale",) if self.hyperparameters == "maximum" else ()

    # Density ------------------------------------------------------------------------------

    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Sample α, τ, w and y ~ N(f, 1/τ); returns f, or its mean under the guide."""
        self.register_with_pyro()
        if self.hyperparameters == "maximum":
            scale = self.log_prior_scale.exp()
            prior = dist.Normal(torch.zeros_like(scale), scale).to_event(1)
            return self.observe(x, y, pyro.sample(WEIGHT, prior))
        vague = torch.full_like(self.centre, _VAGUE)
        alpha = _gamma_moments(pyro.sample(PRECISION, dist.Gamma(vague, vague).to_event(1)))
        tau = None
        if self._noise_posterior:
            tau = _gamma_moments(pyro.sample(NOISE_PRECISION, dist.Gamma(vague[0], vague[0])))
        given = ExpectedNormal(torch.zeros_like(vague), 0.0, *alpha)
        weight = pyro.sample(WEIGHT, dist.Independent(given, 1))
        return self._observe(x, y, weight, tau)

    def _observe(
        self, x: Tensor, y: Tensor | None, weight: Tensor, tau: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        """Sample the targets given a noise precision, or the moments of one."""
        if tau is None:
            return self.observe(x, y, weight)
        if isinstance(weight, DeferredDraw):
            mean, variance = cast(GaussianSupports, weight.source).predictor(x - self.centre)
            output = self.offset() + mean.to(x.dtype)
        else:
            output, variance = self.predictor(x, weight), torch.zeros_like(x[:, 0])
        with pyro.plate(DATA_PLATE, x.shape[0], dim=-1):
            pyro.sample(OBSERVED, ExpectedNormal(output, variance.to(x.dtype), *tau), obs=y)
        return output

    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """Sample q(α), q(τ) and q(w), deferred until something needs their values."""
        self.register_with_pyro()
        if self.hyperparameters == "posterior":
            pyro.sample(PRECISION, Deferred(self.precision_posterior().to_event(1)))
        if self._noise_posterior:
            pyro.sample(NOISE_PRECISION, Deferred(self.noise_posterior()))
        pyro.sample(WEIGHT, Deferred(self.weight_posterior()))

    def precision_posterior(self) -> TorchDistribution:
        """q(α), independent Gammas, batch ``[p]``."""
        return dist.Gamma(self.log_shape.exp(), self.log_rate.exp())

    def noise_posterior(self) -> TorchDistribution:
        """q(τ), a Gamma."""
        return dist.Gamma(self.log_noise_shape.exp(), self.log_noise_rate.exp())

    def noise_precision(self) -> tuple[Tensor, Tensor]:
        """E τ and E ln τ."""
        if self._noise_posterior:
            shape, log_rate = self.log_noise_shape.exp(), self.log_noise_rate
            return shape / log_rate.exp(), shape.digamma() - log_rate
        return super().noise_precision()

    def weight_posterior(self) -> GaussianSupports:
        """q(w), a Gaussian: the prior at E α times the factor that stands for the data."""
        linear, precision = self.data_factor(self.noise_precision()[0])
        prior = torch.diag(1 / self._prior_variance())
        zeros = torch.zeros_like(linear)
        return GaussianSupports(zeros, linear, precision + prior, dtype=self.centre.dtype)

    def _prior_variance(self) -> Tensor:
        if self.hyperparameters == "maximum":
            return (2 * self.log_prior_scale.double()).exp()
        return (self.log_rate.double() - self.log_shape.double()).exp()

    # Start --------------------------------------------------------------------------------

    @torch.no_grad()
    def prepare(self, x: Tensor, y: Tensor) -> None:
        """Take units, coordinates and starting values from a first batch."""
        super().prepare(x, y)
        self.data_factor.prepare(x - self.centre, self.response(y), self.y_scale)

    @torch.no_grad()
    def reset(self) -> None:
        """Start with every feature let in: prior scales of one standard deviation of y."""
        super().reset()
        self.data_factor.reset()
        log_scale = (self.y_scale / self.x_scale).log()
        if self.hyperparameters == "maximum":
            self.log_prior_scale.copy_(log_scale)
        else:
            self.log_shape.zero_()
            self.log_rate.copy_(2 * log_scale)
        if self._noise_posterior:
            self.log_noise_shape.copy_(self.data_factor.log_start)
            self.log_noise_rate.copy_(self.log_noise_shape + 2 * self.y_scale.log())

    # Reading ------------------------------------------------------------------------------

    @torch.no_grad()
    def log_evidence(self, x: Tensor, y: Tensor) -> Tensor | None:
        """Exact for ``"maximum"``, given α, τ and the intercept; None for ``"posterior"``."""
        if self.hyperparameters != "maximum":
            return None
        every = torch.ones(1, self.in_features, dtype=torch.bool, device=x.device)
        return self.evidence_of_supports(x, y, self._prior_variance().sqrt(), every)[0]

    @torch.no_grad()
    def parametric_complexity(
        self, per: PriorScales = "layer", scale_range: ScaleRange = ANY_SCALE
    ) -> Tensor | None:
        """KL of q(w) to N(0, s²) at the best s, or with ``per="weight"`` at the best α.

        The guide has correlations: to the sum over its marginals their mutual information is added.
        """
        q = self.weight_posterior()
        variances = q.covariance_matrix.diagonal()
        marginals = GaussianWeights(q.mean.double(), variances.sqrt())
        correlation = 0.5 * (variances.log().sum() - q.covariance_matrix.logdet())
        return smallest_kl_of_layers([[marginals]], per, scale_range) + correlation

    @torch.no_grad()
    def prior_variance(self) -> Tensor:
        """1/α (1/E α under full variational Bayes) in units of y²/x², ``[p]``."""
        return self._prior_variance().to(self.centre.dtype)

    def site_dims(self) -> dict[str, tuple[str, ...]]:
        """One dim, ``feature``."""
        dims = super().site_dims()
        return dims if self.hyperparameters == "maximum" else {PRECISION: ("feature",), **dims}

    def structure(self) -> xr.Dataset:
        """How far the data determine every weight, variable ``inclusion``, dim ``feature``.

        γ_j = 1 − Var(w_j) / prior variance (MacKay's number of well-determined parameters):
        near 1 where the data speak, 0 where the prior does, which is where ARD closed a
        feature. No probability of an event: this posterior gives none to w_j = 0.
        """
        import xarray as xr

        with torch.no_grad():
            variance = self.weight_posterior().covariance_matrix.diagonal()
            values = (1 - variance / self._prior_variance()).clamp(0.0, 1.0)
        return xr.Dataset(
            {"inclusion": ("feature", values.to(self.centre.dtype).cpu().numpy())},
            attrs={"quantity": "1 − posterior / prior variance, near 0 where the data say nothing"},
        )

    def config(self) -> dict[str, Any]:
        """Constructor arguments as JSON values."""
        return dict(self._config)


def _gamma_moments(draw: Tensor) -> tuple[Tensor, Tensor]:
    """E α and E ln α of a deferred Gamma; α and ln α of a draw."""
    if not isinstance(draw, DeferredDraw):
        return draw, draw.log()
    gamma: Any = getattr(draw.source, "base_dist", draw.source)
    return gamma.mean, gamma.concentration.digamma() - gamma.rate.log()
