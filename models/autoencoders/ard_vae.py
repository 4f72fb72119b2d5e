"""A variational autoencoder that finds how many latent dimensions it needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.nn import functional as F

from bayesnas.checks import choice, positive, whole_number
from bayesnas.distributions import GaussianWeights
from bayesnas.models.autoencoders.base import Autoencoder, checked_shape
from bayesnas.models.autoencoders.decoder_likelihood import Observation
from bayesnas.models.autoencoders.encoder_decoder import Networks
from bayesnas.models.autoencoders.relevance_scales import Relevance
from bayesnas.models.checks import check_memory
from bayesnas.models.site_kinds import DATA_PLATE, OBSERVED
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

GAMMA, LATENT, WEIGHT = "gamma", "z", "decoder.weight"
_LARGEST_LOG_PRECISION = 15.0
_EXAMPLES = 500  # generated, to say which dimensions are determined


@typed()
class ArdVae(Autoencoder):
    r"""A variational autoencoder whose latent dimensions have scales of their own.

    .. math::
        \gamma_l \sim p(\gamma),\quad z \sim N(0, I),\quad
        x \sim p\bigl(x \mid f(W (z \odot \gamma) + b)\bigr)

    A dimension that the data don't need gets a small γ_l. That says something only where W can't
    grow as γ shrinks, so the decoder's first layer is tied down (``decoder_prior``).

    The guide is q(γ) q(W) ∏ q(z | x, γ). The encoder gives a Gaussian factor in u = z γ, of mean
    m(x) and precision r(x), which is multiplied with the prior of z:

    .. math::
        q(z_l \mid x, \gamma) = N\Bigl(\frac{\gamma_l r_l m_l}{1 + \gamma_l^2 r_l},\
            \frac{1}{1 + \gamma_l^2 r_l}\Bigr)

    For a linear decoder with orthogonal columns that is the exact posterior, at every γ. As
    γ_l → 0 it becomes the prior, at no cost.

    Fit it to pairs ``(x, x)``: what the encoder sees, and what is to be reconstructed.

    Args:
        shape: of one example, a number of features or ``(channels, height, width)``.
        latents: L, the most that can be used.
        network: ``"mlp"`` or ``"convolution"`` (heights and widths divisible by 4).
        hidden: widths of the encoder's hidden layers, of the decoder's in reverse, with tanh;
            ``()`` for a linear encoder and decoder. For ``"mlp"`` only.
        likelihood: ``"bernoulli"`` for values in [0, 1], or ``"gaussian"``.
        noise_scale: standard deviation of a Gaussian likelihood, None to learn it.
        binarize: draw the pixels of an example anew each time it is seen, 1 with the
            probability that its value gives; see
            :class:`~bayesnas.models.autoencoders.decoder_likelihood.Observation`.
        relevance_prior: p(γ): ``"half-normal"``, ``"half-cauchy"``, ``"gamma"`` or
            ``"log-uniform"``; see
            :class:`~bayesnas.models.autoencoders.relevance_scales.Relevance`. None: γ = 1.
        relevance_scale: its scale.
        relevance_guide: ``"log-normal"`` or ``"point"``.
        decoder_prior: ``"gaussian"``: W_il ~ N(0, 1 / rows of W), with a mean-field Gaussian
            posterior; ``"unit"``: W is a point estimate with columns of length 1; None: a point
            estimate, free. With both priors None this is the plain variational autoencoder.
        threshold: length of a column of W diag(γ) above which a dimension counts as active by γ.

    Raises:
        ValueError: naming the argument, what came and what was expected.

    References:
        Bishop, *Bayesian PCA*, 1999; Kingma, Welling, *Auto-encoding variational Bayes*, 2014;
        Burda, Grosse, Salakhutdinov, *Importance weighted autoencoders*, 2016; Saha, Joshi,
        Whitaker, *ARD-VAE*, 2025.

    >>> import torch, bayesnas as bn
    >>> generator = torch.Generator().manual_seed(0)
    >>> x = torch.randn(200, 1, generator=generator) * torch.ones(6)
    >>> x = x + 0.1 * torch.randn(200, 6, generator=generator)
    >>> model = ArdVae(6, latents=3, hidden=(), likelihood="gaussian")
    >>> post = bn.fit(model, (x, x), steps=1500, lr=0.02)
    >>> int((post.structure()["inclusion"] > 0.5).sum())
    1
    """

    range_warmup, range_map = 0.3, "curvature"

    def __init__(
        self,
        shape: int | Sequence[int],
        latents: int = 50,
        *,
        network: str = "mlp",
        hidden: Sequence[int] = (200, 200),
        likelihood: str = "bernoulli",
        noise_scale: float | None = None,
        binarize: bool = False,
        relevance_prior: str | None = "half-normal",
        relevance_scale: float = 1.0,
        relevance_guide: str = "log-normal",
        decoder_prior: str | None = "gaussian",
        threshold: float = 0.1,
    ) -> None:
        """Build encoder, decoder, priors and guides; see the class."""
        super().__init__()
        self.shape = checked_shape(shape)
        self.latents = whole_number("latents", latents)
        self.observation = Observation(self.shape, likelihood, noise_scale, binarize)
        if decoder_prior is not None:
            choice("decoder_prior", decoder_prior, ("gaussian", "unit"))
        self.decoder_prior = decoder_prior
        choice("network", network, ("mlp", "convolution"))
        self.threshold = positive("threshold", threshold)
        widths = [whole_number("hidden", width) for width in hidden]
        self._config = {
            "shape": list(self.shape),
            "latents": self.latents,
            "network": network,
            "hidden": widths,
            "likelihood": likelihood,
            "noise_scale": self.observation.noise_scale_given,
            "binarize": self.observation.binarize,
            "relevance_prior": relevance_prior,
            "relevance_scale": positive("relevance_scale", relevance_scale),
            "relevance_guide": relevance_guide,
            "decoder_prior": decoder_prior,
            "threshold": self.threshold,
        }

        def networks(k: int) -> Networks:
            return Networks(self.shape, k, network, widths)

        def weights(k: int) -> list[nn.Module]:
            nets = networks(k)
            return [nets, nn.Linear(k, nets.first), nn.Linear(k, nets.first)]  # and q(W)

        check_memory("latents", latents, weights)
        self.networks = networks(latents)
        self.relevance: Relevance | None = None
        if relevance_prior is not None:
            self.relevance = Relevance(latents, relevance_prior, relevance_scale, relevance_guide)
        self.weight = nn.Parameter(torch.zeros(self.networks.first, latents))
        self.bias = nn.Parameter(torch.zeros(self.networks.first))
        if decoder_prior == "gaussian":
            self.weight_log_scale = nn.Parameter(torch.zeros_like(self.weight))
        self._reset_weight()

    # Density ------------------------------------------------------------------------------

    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Sample γ, W, z and the data; returns their mean or logits, ``[n, *shape]``."""
        self.register_with_pyro()
        gamma = pyro.sample(GAMMA, self.relevance.prior()) if self.relevance else self._ones()
        weight = self.point_weight()
        if self.decoder_prior == "gaussian":
            weight = pyro.sample(WEIGHT, self.weight_prior())
        if weight.ndim > self.weight.ndim:  # pyro.infer.Predictive puts dims of plates in front
            weight = weight.reshape(self.weight.shape)
        target = None if y is None else y.reshape(-1, *self.shape)
        with pyro.plate(DATA_PLATE, x.shape[0], dim=-1):
            _, target = self.observation.seen(x, target)
            zeros = self.weight.new_zeros(x.shape[0], self.latents)
            z = pyro.sample(LATENT, dist.Normal(zeros, 1.0).to_event(1))
            output = self.decode(z * gamma, weight)
            pyro.sample(OBSERVED, self.observation(output), obs=target)
        return output

    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """Sample q(γ), q(W) and q(z | x, γ)."""
        self.register_with_pyro()
        gamma = pyro.sample(GAMMA, self.relevance.posterior()) if self.relevance else self._ones()
        if self.decoder_prior == "gaussian":
            pyro.sample(WEIGHT, self.weight_posterior())
        with pyro.plate(DATA_PLATE, x.shape[0], dim=-1):
            seen, _ = self.observation.seen(x, None)
            pyro.sample(LATENT, self.latent_posterior(seen, gamma).to_event(1))

    def latent_posterior(self, x: Tensor, gamma: Tensor) -> TorchDistribution:
        """q(z | x, γ), batch ``[n, L]``."""
        loc, log_precision = self.networks.encode(x)
        root = (0.5 * log_precision.clamp_max(_LARGEST_LOG_PRECISION)).exp()
        spread = torch.hypot(torch.ones_like(root), gamma * root)  # γ²r may overflow
        return dist.Normal(loc * root * (gamma * root / spread) / spread, 1 / spread)

    def decode(self, scaled: Tensor, weight: Tensor) -> Tensor:
        """Logits or means given z γ ``[n, L]`` and W; ``[n, *shape]``."""
        output: Tensor = self.networks.rest(F.linear(scaled, weight, self.bias))
        return output.reshape(-1, *self.shape)

    def weight_prior(self) -> GaussianWeights:
        """p(W), independent N(0, 1 / rows): columns of length 1 in the mean of squares."""
        scale = self.weight.new_full((), self.networks.first**-0.5)
        return GaussianWeights(scale.new_zeros(()), scale, shape=self.weight.shape)

    def weight_posterior(self) -> GaussianWeights:
        """q(W), independent Gaussians."""
        return GaussianWeights(self.weight, log_scale=self.weight_log_scale, local=True)

    def gaussian_parameters(self) -> dict[str, str]:
        """Those of q(W)."""
        return {"weight": "weight_log_scale"} if self.decoder_prior == "gaussian" else {}

    def point_weight(self) -> Tensor:
        """W as a point: its mean, its free value, or with columns of length 1."""
        return F.normalize(self.weight, dim=0) if self.decoder_prior == "unit" else self.weight

    def _ones(self) -> Tensor:
        return self.weight.new_ones(self.latents)

    @torch.no_grad()
    def reset(self) -> None:
        """Draw weights anew; every dimension starts included."""
        self.networks.reset()
        self.observation.reset()
        if self.relevance is not None:
            self.relevance.reset()
        self._reset_weight()

    @torch.no_grad()
    def _reset_weight(self) -> None:
        scale = self.networks.first**-0.5
        self.weight.copy_(scale * torch.randn_like(self.weight))
        self.bias.zero_()
        if self.decoder_prior == "gaussian":
            self.weight_log_scale.fill_(math.log(0.1 * scale))

    # Use ----------------------------------------------------------------------------------

    @torch.no_grad()
    def scales(self) -> Tensor:
        """E γ, ``[L]``."""
        if self.relevance is None:
            return self._ones()
        mean: Tensor = self.relevance.posterior().mean
        return mean

    def _code_of(self, examples: Tensor) -> Tensor:
        """E[z | x] at the mean of γ, ``[n, L]``."""
        mean: Tensor = self.latent_posterior(examples, self.scales()).mean
        return mean

    def mean_of_latents(self, z: Tensor) -> Tensor:
        """E[x | z] at the means of γ and W, ``[n, *shape]``, differentiable in z."""
        return self.observation.mean(self.decode(z * self.scales(), self.point_weight()))

    # Reading ------------------------------------------------------------------------------

    def site_dims(self) -> dict[str, tuple[str, ...]]:
        """The dims ``latent`` and ``decoder.out``."""
        dims: dict[str, tuple[str, ...]] = {}
        if self.relevance is not None:
            dims[GAMMA] = ("latent",)
        if self.decoder_prior == "gaussian":
            dims[WEIGHT] = ("decoder.out", "latent")
        return dims

    @torch.no_grad()
    def included(self) -> Tensor:
        """q(γ_l ‖W_l‖ > threshold), ‖W_l‖ the root mean square length of a column, ``[L]``."""
        gaussian = self.decoder_prior == "gaussian"
        spread = (2 * self.weight_log_scale).exp() if gaussian else 0.0
        lengths = (self.point_weight().square() + spread).sum(0).sqrt()
        if self.relevance is None:
            return (lengths > self.threshold).to(lengths)
        return self.relevance.probability_above(self.threshold / lengths)

    @torch.no_grad()
    def determined(self, x: Tensor) -> Tensor:
        """1 − Var(z_l | x) / Var(z_l) at the mean of γ, averaged over ``x``; ``[L]`` in [0, 1].

        Raises:
            ValueError, TypeError: for examples that are none of the model.
        """
        return 1 - self.latent_posterior(self.examples(x), self.scales()).variance.mean(0)

    def structure(self) -> xr.Dataset:
        """How far an example determines each dimension, variable ``inclusion``, dim ``latent``.

        :meth:`determined` of examples that the model generates; no probability of an event.
        """
        import xarray as xr

        generator = torch.Generator(self.weight.device).manual_seed(0)
        determined = self.determined(self.generate(_EXAMPLES, generator=generator))
        return xr.Dataset(
            {"inclusion": ("latent", determined.clamp(0.0, 1.0).cpu().numpy())},
            attrs={"quantity": "1 − posterior / prior variance of z, near 0 where it is unused"},
        )
