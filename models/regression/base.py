"""What regressions of the zoo share: a linear predictor, its units, and expectations of it."""

from __future__ import annotations

from typing import Any

import pyro
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from bayesnas.checks import choice, flag, size
from bayesnas.distributions.deferred.deferred import DeferredDraw
from bayesnas.distributions.deferred.expected_likelihoods import ExpectedBernoulli, ExpectedNormal
from bayesnas.distributions.weights.gaussian_supports import GaussianSupports
from bayesnas.likelihoods import Gaussian, make_likelihood
from bayesnas.models.base import BayesianModel
from bayesnas.models.contract.fit_defaults import FitDefaults
from bayesnas.models.regression.exact_evidence import log_evidences
from bayesnas.models.site_kinds import DATA_PLATE, OBSERVED

WEIGHT = "weight"
"""Name of the site of the weights."""


class LinearModel(BayesianModel):
    r"""p(y | x, w) with a linear predictor :math:`f = b + (x - c)^\top w`, one output.

    The intercept b is a point estimate; the centre c is the mean of the first batch of a fit
    (of all data, where they are one batch), so b and w don't compete. Subclasses sample
    ``"weight"`` from their prior and from their guide.

    Args:
        in_features: number p of features.
        likelihood: ``"gaussian"`` or ``"bernoulli"``.
        noise_scale: for ``"gaussian"``: standard deviation of the noise, None to learn it.
        intercept: whether there is one; without, c and b are 0.

    Attributes:
        centre: c, ``[p]``.
        x_scale: standard deviations of the features in the first batch, ``[p]``.
        y_centre, y_scale: mean and standard deviation of the targets there; 0 and 1 for classes.
    """

    centre: Tensor
    x_scale: Tensor
    y_centre: Tensor
    y_scale: Tensor
    _config: dict[str, Any]

    def __init__(
        self, in_features: int, likelihood: str, noise_scale: float | None, intercept: bool
    ) -> None:
        """Check the arguments and create what all regressions have; see the class."""
        super().__init__()
        choice("likelihood", likelihood, ("gaussian", "bernoulli"))
        self.in_features = size("in_features", in_features)
        self.likelihood = make_likelihood(likelihood, noise_scale)
        self.task = self.likelihood.task
        self.noise_scale_given = None if noise_scale is None else float(noise_scale)
        self.register_buffer("centre", torch.zeros(in_features))
        self.register_buffer("x_scale", torch.ones(in_features))
        self.register_buffer("y_centre", torch.zeros(()))
        self.register_buffer("y_scale", torch.ones(()))
        self.intercept = nn.Parameter(torch.zeros(())) if flag("intercept", intercept) else None

    # Data ---------------------------------------------------------------------------------

    def check(self, x: Tensor, y: Tensor, classes: int | None = None) -> None:
        """Inputs ``[n, in_features]`` and one target a row."""
        if x.ndim != 2 or x.shape[1] != self.in_features:
            raise ValueError(f"x must have shape [n, {self.in_features}], got {list(x.shape)}")
        self.likelihood.check(torch.Size([len(x)]), y, classes)

    def metaparameters(self) -> tuple[str, ...]:
        """``noise_scale``, where it is given."""
        return self.likelihood.metaparameters()

    def set_metaparameter(self, name: str, value: float) -> None:
        """Give the noise another scale."""
        if name not in self.likelihood.metaparameters():
            super().set_metaparameter(name, value)
        self.likelihood.set_metaparameter(name, value)
        self.noise_scale_given = self._config["noise_scale"] = float(value)

    def fit_defaults(self, examples: int) -> FitDefaults:
        """Few parameters, near their optimum from the start, take long steps."""
        return FitDefaults(lr=0.03)

    @torch.no_grad()
    def prepare(self, x: Tensor, y: Tensor) -> None:
        """Take the units of a first batch; parameters start in them."""
        deviation = (x - x.mean(0)).square().mean(0).sqrt()
        self.x_scale.copy_(torch.where(deviation > 0, deviation, 1.0))
        if self.intercept is not None:
            self.centre.copy_(x.mean(0))
        if isinstance(self.likelihood, Gaussian):
            origin = y.mean() if self.intercept is not None else torch.zeros_like(self.y_centre)
            deviation = (y - origin).square().mean().sqrt()
            self.y_centre.copy_(origin)
            self.y_scale.copy_(torch.where(deviation > 0, deviation, 1.0))

    @torch.no_grad()
    def reset(self) -> None:
        """Put intercept and noise at their starting values."""
        if self.intercept is not None:
            self.intercept.zero_()
        if isinstance(self.likelihood, Gaussian) and self.likelihood.fixed_scale is None:
            self.likelihood.log_noise_scale.copy_(self.y_scale.log())

    def response(self, y: Tensor) -> Tensor:
        """Centred targets ``[n]`` on the scale of f; for classes of the first scoring step."""
        if isinstance(self.likelihood, Gaussian):
            return y - self.y_centre
        target = self.likelihood.observed(y, self.centre)
        return 4 * (target - target.mean()) if self.intercept is not None else 4 * (target - 0.5)

    # Density ------------------------------------------------------------------------------

    def offset(self) -> Tensor:
        """The intercept b in units of y: the prediction at x = c."""
        if self.intercept is None:
            return self.y_centre
        return self.y_centre + self.y_scale * self.intercept

    def predictor(self, x: Tensor, weight: Tensor) -> Tensor:
        """F ``[n]`` for inputs ``[n, p]``."""
        return self.offset() + (x - self.centre) @ weight

    def observe(self, x: Tensor, y: Tensor | None, weight: Tensor) -> Tensor:
        """Sample the targets; with deferred weights, score them by E log p(y | f).

        Returns:
            f, or its mean, ``[n]``.
        """
        if isinstance(weight, DeferredDraw):
            fn: TorchDistribution = self.expected_likelihood(x, weight.source)
            output = self.predictor(x, weight.source.mean)
        else:
            output = self.predictor(x, weight)
            fn = self.likelihood(output)
        target = None if y is None else self.likelihood.observed(y, output)
        with pyro.plate(DATA_PLATE, x.shape[0], dim=-1):
            pyro.sample(OBSERVED, fn, obs=target)
        return output

    def expected_likelihood(self, x: Tensor, q: TorchDistribution) -> TorchDistribution:
        """E log p(y | f) over weights from ``q``: exact, but for sums of many independent ones.

        Under independent weights a Bernoulli likelihood takes f to be Gaussian.
        """
        centred, offset = x - self.centre, self.offset()
        if isinstance(self.likelihood, Gaussian):
            mean, variance = _moments(centred, q)
            precision, log_precision = self.noise_precision()
            return ExpectedNormal(
                offset + mean.to(x.dtype), variance.to(x.dtype), precision, log_precision
            )
        if isinstance(q, GaussianSupports):
            weights, mean, variance = q.predictor_components(centred)
        else:
            mean, variance = (moment[:, None] for moment in _moments(centred, q))
            weights = mean.new_ones(1)
        return ExpectedBernoulli(
            weights.to(x.dtype), offset + mean.to(x.dtype), variance.to(x.dtype)
        )

    def noise_precision(self) -> tuple[Tensor, Tensor]:
        """E τ and E ln τ of the noise precision τ = 1/σ².

        For classes τ = ¼, what the curvature of the log-likelihood is at most.
        """
        if not isinstance(self.likelihood, Gaussian):
            return self.y_scale.new_tensor(0.25), self.y_scale.new_tensor(0.25).log()
        log_scale = self.likelihood.log_noise_scale
        return (-2 * log_scale).exp(), -2 * log_scale

    # Reading ------------------------------------------------------------------------------

    def point_estimates(self) -> dict[str, Tensor]:
        """Also the intercept b and the centre c: f = b + (x - c) · w."""
        of_line = {"intercept": self.offset().detach(), "centre": self.centre}
        return {**super().point_estimates(), **of_line}

    def point_estimate_dims(self) -> dict[str, tuple[str, ...]]:
        """Those of the features."""
        estimates = self.point_estimates().items()
        return dict.fromkeys((name for name, value in estimates if value.ndim), ("feature",))

    def evidence_of_supports(
        self, x: Tensor, y: Tensor, scales: Tensor, supports: Tensor
    ) -> Tensor:
        """Ln p(y | x, Γ) under a Gaussian likelihood for supports ``[S, p]``, ``[S]`` in nats.

        Args:
            x: inputs ``[n, p]``.
            y: targets ``[n]``.
            scales: prior standard deviations of the weights ``[p]``.
            supports: boolean ``[S, p]``.
        """
        variance = 1 / self.noise_precision()[0].double()
        centred, residual = x.double() - self.centre, y.double() - self.offset()
        return log_evidences(centred, residual, scales, variance, supports)

    def site_dims(self) -> dict[str, tuple[str, ...]]:
        """One dim, ``feature``."""
        return {WEIGHT: ("feature",)}

    def weight_posterior(self) -> Any:
        """Return q(w), with ``mean`` and ``variance``."""
        raise TypeError(f"{type(self).__name__} does not define weight_posterior()")

    @torch.no_grad()
    def coefficients(self) -> Tensor:
        """Posterior mean of w, ``[p]``."""
        mean: Tensor = self.weight_posterior().mean
        return mean.detach()

    @torch.no_grad()
    def plain_module(self) -> nn.Module:
        """A ``torch.nn.Linear`` with the posterior means; it takes x itself, not x − c."""
        weight = self.coefficients()
        layer = nn.Linear(self.in_features, 1, device=weight.device, dtype=weight.dtype)
        layer.weight.copy_(weight[None])
        layer.bias.copy_((self.offset() - self.centre @ weight)[None])
        return layer

    def describe(self) -> str:
        """Name and number of features."""
        return f"{type(self).__name__} of {self.in_features} features"


def _moments(x: Tensor, q: TorchDistribution) -> tuple[Tensor, Tensor]:
    """Mean and variance of x w, each ``[n]``."""
    if isinstance(q, GaussianSupports):
        return q.predictor(x)
    return x @ q.mean, x.square() @ q.variance
