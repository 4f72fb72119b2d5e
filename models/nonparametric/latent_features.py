"""The linear-Gaussian latent feature model under an Indian buffet, by variational inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from bayesnas.checks import positive, whole_number
from bayesnas.distributions.deferred.deferred import Deferred, DeferredDraw
from bayesnas.distributions.deferred.expected_likelihoods import ExpectedNormal
from bayesnas.distributions.gaussian_divergence import positive_exp
from bayesnas.distributions.relaxed.straight_through import StraightThroughBernoulli
from bayesnas.models.base import BayesianModel
from bayesnas.models.checks import check_memory
from bayesnas.models.nonparametric.latent_feature_initialisation import start_features
from bayesnas.models.nonparametric.stick_breaking import StickBreaking
from bayesnas.models.site_kinds import DATA_PLATE, OBSERVED
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

STICKS, FEATURES, ASSIGNMENTS = "sticks", "features", "z"


@typed()
class LatentFeatures(BayesianModel):
    r"""Examples as sums of some of K features, and noise.

    .. math::
        \nu_k \sim \mathrm{Beta}(\alpha, 1),\quad \pi_k = \prod_{i \le k} \nu_i,\quad
        z_{nk} \sim \mathrm{Bernoulli}(\pi_k),\quad A_{kd} \sim N(0, \sigma_A^2),\quad
        x_n \sim N(z_n A, \sigma_x^2 I)

    with the guide q(ν) q(A) ∏ q(z_n | ν, x_n): Kumaraswamy, Gaussian and Bernoulli, z binary in
    both. The bound has its expectations over A and z in closed form and is noisy in ν alone.

    q(z_n | ν, x_n) has no parameters of its own but one. It comes by coordinate ascent of the bound
    given ν and q(A), from the prior on, through all features ``sweeps`` times:

    .. math::
        \operatorname{logit} q_{nk} = \operatorname{logit} \pi_k
            + \frac{c}{\sigma_x^2} \Bigl( E A_k \cdot \bigl(x_n - \sum_{j \ne k} q_{nj} E A_j\bigr)
            - \tfrac12 E |A_k|^2 \Bigr)

    c = 1 is the ascent of the bound at KL weight 1; it is learned, and at λ goes to 1/λ.

    Fit it to pairs ``(x, x)``, which starts from the best of many short runs of coordinate ascent
    on the first batch. Under ``pyro.infer.SVI`` take ``TraceMeanField_ELBO``. Starts can still end
    in different optima: take several (``restarts=``) and the best bound, or check by Gibbs
    sampling, :mod:`bayesnas.inference.mcmc.latent_feature_sampler`.

    Args:
        in_features: number D of values of an example.
        latents: K, where the stick is no longer broken.
        mass: α > 0.
        noise_scale: σ_x > 0, None to learn it by type-II maximum likelihood.
        feature_scale: σ_A > 0, None to learn it likewise.
        sweeps: of the coordinate ascent.

    Raises:
        ValueError: naming the argument, what came and what was expected.

    References:
        Griffiths, Ghahramani, *The Indian buffet process: an introduction and review*, 2011;
        Doshi-Velez, Miller, Van Gael, Teh, *Variational inference for the Indian buffet process*,
        2009.

    >>> import torch, bayesnas as bn
    >>> generator = torch.Generator().manual_seed(0)
    >>> z = torch.bernoulli(torch.full((60, 1), 0.5), generator=generator)
    >>> x = 2 * z * torch.ones(4) + 0.3 * torch.randn(60, 4, generator=generator)
    >>> post = bn.fit(LatentFeatures(4, 3), (x, x), steps=300, lr=0.05)
    >>> int(post.model.used(x).sum())
    1
    """

    task = "regression"
    unit: Tensor
    start_loc: Tensor
    start_log_scale: Tensor
    start_log_noise: Tensor
    log_noise_scale: Tensor
    log_feature_scale: Tensor
    estimated = ("log_noise_scale", "log_feature_scale")

    def __init__(
        self,
        in_features: int,
        latents: int = 12,
        mass: float = 1.0,
        *,
        noise_scale: float | None = None,
        feature_scale: float | None = 1.0,
        sweeps: int = 3,
    ) -> None:
        """Build priors and guides; see the class."""
        super().__init__()
        self.in_features = whole_number("in_features", in_features)
        self.latents = whole_number("latents", latents)
        self.sweeps = whole_number("sweeps", sweeps)
        mass = positive("mass", mass)
        if noise_scale is not None:
            noise_scale = positive("noise_scale", noise_scale)
        if feature_scale is not None:
            feature_scale = positive("feature_scale", feature_scale)
        self._config = {
            "in_features": self.in_features,
            "latents": self.latents,
            "mass": mass,
            "noise_scale": noise_scale,
            "feature_scale": feature_scale,
            "sweeps": self.sweeps,
        }
        # A mean and a scale of every loading.
        check_memory("latents", latents, lambda k: [nn.Linear(k, 2 * in_features)])
        self.sticks = StickBreaking(latents, mass)
        self.loc = nn.Parameter(torch.zeros(latents, in_features))
        self.log_scale = nn.Parameter(torch.zeros(latents, in_features))
        self.log_evidence_weight = nn.Parameter(torch.zeros(()))
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("start_loc", 0.3 * torch.randn(latents, in_features))
        self.register_buffer("start_log_scale", torch.full((latents, in_features), -2.0))
        self.register_buffer("start_log_noise", torch.zeros(()))
        self._create_scale("noise_scale", noise_scale)
        self._create_scale("feature_scale", feature_scale)
        self.reset()

    def _create_scale(self, name: str, value: float | None) -> None:
        if value is None:
            self.register_parameter(f"log_{name}", nn.Parameter(torch.zeros(())))
        else:
            self.register_buffer(f"log_{name}", torch.tensor(value).log())

    # Density ------------------------------------------------------------------------------

    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Sample ν, A, z and the data; returns their mean, ``[n, D]``."""
        self.register_with_pyro()
        logits = self.sticks.logits(pyro.sample(STICKS, self.sticks.prior()))
        prior = dist.Normal(torch.zeros_like(self.loc), self.log_feature_scale.exp())
        features = pyro.sample(FEATURES, prior.to_event(2))
        logits = logits.expand(x.shape[0], -1)
        with pyro.plate(DATA_PLATE, x.shape[0], dim=-1):
            z = pyro.sample(ASSIGNMENTS, dist.Bernoulli(logits=logits).to_event(1))
            likelihood = self.observation(z, features)
            pyro.sample(OBSERVED, likelihood.to_event(1), obs=y)
        mean: Tensor = likelihood.mean
        return mean

    def observation(self, z: Tensor, features: Tensor) -> TorchDistribution:
        """p(x | z, A), or E ln p over those of them that are deferred; batch ``[n, D]``."""
        q, q_variance = _moments(z)
        mean, variance = _moments(features)
        # Var of Σ z_k A_kd over independent z and A.
        total = q_variance @ (mean.square() + variance) + q.square() @ variance
        return ExpectedNormal(q @ mean, total, (-2 * self.log_noise_scale).exp())

    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """Sample q(ν), q(A) and q(z | ν, x), the last two deferred."""
        self.register_with_pyro()
        logits = self.sticks.logits(pyro.sample(STICKS, self.sticks.posterior()))
        pyro.sample(FEATURES, Deferred(self.feature_posterior().to_event(2)))
        with pyro.plate(DATA_PLATE, x.shape[0], dim=-1):
            assignments = StraightThroughBernoulli(logits=self.assignment_logits(x, logits))
            pyro.sample(ASSIGNMENTS, Deferred(assignments.to_event(1)))

    def feature_posterior(self) -> dist.Normal:
        """q(A), ``[K, D]``."""
        return dist.Normal(self.loc, positive_exp(self.log_scale))

    def assignment_logits(self, x: Tensor, prior_logits: Tensor) -> Tensor:
        """Logits of q(z | ν, x) ``[n, K]``, given logit π ``[K]``; see the class."""
        gram = self.loc @ self.loc.T
        energy = 0.5 * (self.loc.square() + (2 * self.log_scale).exp()).sum(-1)
        weight = (self.log_evidence_weight - 2 * self.log_noise_scale).exp()
        linear = x @ self.loc.T - energy
        logits = [prior_logits[k].expand(x.shape[0]) for k in range(self.latents)]
        active = torch.stack(logits, -1).sigmoid()
        for k in list(range(self.latents)) * self.sweeps:
            others = active @ gram[:, k] - active[:, k] * gram[k, k]
            logits[k] = prior_logits[k] + weight * (linear[:, k] - others)
            active = torch.cat(
                [active[:, :k], logits[k].sigmoid()[:, None], active[:, k + 1 :]], dim=-1
            )
        return torch.stack(logits, -1)

    # Start --------------------------------------------------------------------------------

    @torch.no_grad()
    def prepare(self, x: Tensor, y: Tensor) -> None:
        """Take the start from a first batch, by :func:`~.feature_start.start_features`."""
        unit = y.square().mean().sqrt()
        self.unit.copy_(torch.where(unit > 0, unit, 1.0))
        given = self._config["feature_scale"]
        scale = float(self.unit) if given is None else float(given)
        loc, variance, noise = start_features(y, self.latents, scale)
        self.start_loc.copy_(loc)
        self.start_log_scale.copy_(0.5 * variance.log()[:, None].expand_as(loc))
        self.start_log_noise.copy_(noise.log())

    def gaussian_parameters(self) -> dict[str, str]:
        """Those of the loadings."""
        return {"loc": "log_scale"}

    @torch.no_grad()
    def reset(self) -> None:
        """Go to the start that the first batch gave."""
        self.sticks.reset()
        self.loc.copy_(self.start_loc + 1e-3 * self.unit * torch.randn_like(self.loc))
        self.log_scale.copy_(self.start_log_scale)
        self.log_evidence_weight.zero_()
        if self._config["noise_scale"] is None:
            self.log_noise_scale.copy_(self.start_log_noise)
        if self._config["feature_scale"] is None:
            self.log_feature_scale.copy_(self.unit.log())

    def check(self, x: Tensor, y: Tensor, classes: int | None = None) -> None:
        """Examples ``[n, D]``, targets alike."""
        for name, values in (("x", x), ("y", y)):
            if values.ndim != 2 or values.shape[1] != self.in_features:
                hint = " (fit to pairs (x, x))" if name == "y" else ""
                raise ValueError(
                    f"{name} must have shape ['n', {self.in_features}]{hint}, "
                    f"got {list(values.shape)}"
                )

    # Reading ------------------------------------------------------------------------------

    @torch.no_grad()
    @typed()
    def activity(self, x: Tensor) -> Tensor:
        """q(z_nk = 1 | x_n) at the mean of π, ``[n, K]``.

        Raises:
            TypeError: for examples that are no tensor.
            ValueError: for examples of another shape than those of the model.
        """
        self.check(x, x)
        logits = self.assignment_logits(x.to(self.loc), self.sticks.popularity().logit())
        return logits.sigmoid()

    @typed()
    def used(self, x: Tensor) -> Tensor:
        """Which features an example of ``x`` has with probability above ½, boolean ``[K]``.

        Raises:
            TypeError: for examples that are no tensor.
            ValueError: for examples of another shape than those of the model.
        """
        return (self.activity(x) > 0.5).any(0)

    @typed()
    def reconstruct(self, x: Tensor) -> Tensor:
        """E[z A | x], ``[n, D]``.

        Raises:
            TypeError: for examples that are no tensor.
            ValueError: for examples of another shape than those of the model.
        """
        return self.activity(x) @ self.loc.detach()

    def structure(self) -> xr.Dataset:
        """E π_k of every feature, variable ``inclusion`` with dim ``feature``."""
        import xarray as xr

        popularity = self.sticks.popularity().detach().clamp(0.0, 1.0).cpu().numpy()
        return xr.Dataset(
            {"inclusion": ("feature", popularity)},
            attrs={"quantity": "posterior mean of the probability that an example has a feature"},
        )

    def site_dims(self) -> dict[str, tuple[str, ...]]:
        """The dims ``feature`` and ``value``."""
        return {STICKS: ("feature",), FEATURES: ("feature", "value")}

    def config(self) -> dict[str, Any]:
        """Constructor arguments as JSON values."""
        return dict(self._config)


def _moments(value: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of a deferred draw; a tensor is known."""
    if isinstance(value, DeferredDraw):
        return value.source.mean, value.source.variance
    return value, torch.zeros_like(value)
