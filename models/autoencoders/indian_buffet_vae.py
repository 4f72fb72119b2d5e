"""A variational autoencoder whose examples choose among features, by an Indian buffet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from bayesnas.checks import choice, flag, positive, whole_number
from bayesnas.distributions import BinaryConcrete
from bayesnas.models.autoencoders.base import Autoencoder, checked_shape
from bayesnas.models.autoencoders.binary_bound import bound, standard_normal
from bayesnas.models.autoencoders.decoder_likelihood import Observation
from bayesnas.models.autoencoders.encoder_decoder import Networks
from bayesnas.models.autoencoders.feature_moves import feature_moves
from bayesnas.models.checks import check_memory
from bayesnas.models.nonparametric.stick_breaking import StickBreaking
from bayesnas.models.site_kinds import DATA_PLATE, OBSERVED
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

STICKS, GATES, FACTORS = "sticks", "z", "a"
GUIDES = ("mean-field", "structured")
_LARGEST_LOG_PRECISION = 15.0


@typed()
class IndianBuffetVae(Autoencoder):
    r"""A variational autoencoder in which every example has some of K features.

    .. math::
        \nu_k \sim \mathrm{Beta}(\alpha, 1),\quad \pi_k = \prod_{i \le k} \nu_i,\quad
        z_{nk} \sim \mathrm{Bernoulli}(\pi_k),\quad a_{nk} \sim N(0, 1),\quad
        x_n \sim p\bigl(x \mid f(z_n \odot a_n)\bigr)

    the Indian buffet of mass α, its stick broken K times. Fits relax z: a
    :class:`~bayesnas.distributions.BinaryConcrete` of one temperature in model and guide, whose
    site holds the logit of z, so every term of the bound has a closed form given ν. The relaxed
    model is a model of x in its own right; :meth:`bound` speaks of the binary one.

    ν has a Kumaraswamy guide. The encoder gives h, m, r of every feature, and

    - ``"structured"`` keeps what the posterior depends on: q(z | x, ν) has the logits
      logit π + h, and q(a | x, z) = N(z r m / (1 + z² r), 1 / (1 + z² r)), the posterior of a
      factor that is seen through z. A feature whose h is 0 costs nothing, nor does the factor of
      one that is off;
    - ``"mean-field"`` has q(z | x) q(a | x): logits h + logit E π under the *prior*, a constant,
      and a as above with z = 1.

    Fit it to pairs ``(x, x)``: what the encoder sees, and what is to be reconstructed.

    Args:
        shape: of one example, a number of features or ``(channels, height, width)``.
        latents: K, where the stick is no longer broken. :meth:`lost` tells what that leaves out.
        mass: α > 0, the mean number of features of an example.
        factors: whether features have strengths a; without, the decoder sees z alone.
        guide_structure: ``"structured"`` or ``"mean-field"``, see above.
        temperature: of the relaxed z.
        network: ``"mlp"`` or ``"convolution"`` (heights and widths divisible by 4).
        hidden: widths of the encoder's hidden layers, of the decoder's in reverse, with tanh;
            ``()`` for a linear encoder and decoder. For ``"mlp"`` only.
        likelihood: ``"bernoulli"`` for values in [0, 1], or ``"gaussian"``.
        noise_scale: standard deviation of a Gaussian likelihood, None to learn it.
        binarize: draw the pixels of an example anew each time it is seen, 1 with the
            probability that its value gives; see
            :class:`~bayesnas.models.autoencoders.decoder_likelihood.Observation`.

    Raises:
        ValueError: naming the argument, what came and what was expected; also where the
            parameters would not fit into memory.

    References:
        Singh, Ling, Doshi-Velez, *Structured variational autoencoders for the beta-Bernoulli
        process*, 2017; Chatzis, *Indian buffet process deep generative models*, 2014; Teh, Görür,
        Ghahramani, *Stick-breaking construction for the Indian buffet process*, 2007.

    >>> import torch, bayesnas as bn
    >>> x = torch.rand(40, 6, generator=torch.Generator().manual_seed(0))
    >>> model = IndianBuffetVae(6, latents=5, mass=2.0, hidden=(8,))
    >>> post = bn.fit(model, (x, x), steps=3)
    >>> dict(post.structure()["inclusion"].sizes), post.model.activity(x).shape
    ({'feature': 5}, torch.Size([40, 5]))
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        latents: int = 100,
        mass: float = 10.0,
        *,
        factors: bool = True,
        guide_structure: str = "structured",
        temperature: float = 0.5,
        network: str = "mlp",
        hidden: Sequence[int] = (500,),
        likelihood: str = "bernoulli",
        noise_scale: float | None = None,
        binarize: bool = False,
    ) -> None:
        """Build encoder, decoder, priors and guides; see the class."""
        super().__init__()
        self.shape = checked_shape(shape)
        self.latents = whole_number("latents", latents)
        self.factors = flag("factors", factors)
        self.guide_structure = choice("guide_structure", guide_structure, GUIDES)
        self.temperature = positive("temperature", temperature)
        mass = positive("mass", mass)
        choice("network", network, ("mlp", "convolution"))
        self.observation = Observation(self.shape, likelihood, noise_scale, binarize)
        widths = [whole_number("hidden", width) for width in hidden]
        self._config = {
            "shape": list(self.shape),
            "latents": self.latents,
            "mass": mass,
            "factors": self.factors,
            "guide_structure": guide_structure,
            "temperature": self.temperature,
            "network": network,
            "hidden": widths,
            "likelihood": likelihood,
            "noise_scale": self.observation.noise_scale_given,
            "binarize": self.observation.binarize,
        }
        heads = 3 if self.factors else 1

        def networks(k: int) -> Networks:
            return Networks(self.shape, k, network, widths, heads)

        check_memory("latents", latents, lambda k: [n := networks(k), nn.Linear(k, n.first)])
        self.networks = networks(latents)
        self.first = nn.Linear(latents, self.networks.first)
        self.sticks = StickBreaking(latents, mass)
        self._reset_networks()

    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Sample ν, z, a and the data; returns their mean or logits, ``[n, *shape]``."""
        self.register_with_pyro()
        logits = self.sticks.logits(pyro.sample(STICKS, self.sticks.prior()))
        target = None if y is None else y.reshape(-1, *self.shape)
        logits = logits.expand(x.shape[0], -1)
        with pyro.plate(DATA_PLATE, x.shape[0], dim=-1):
            _, target = self.observation.seen(x, target)
            gate = pyro.sample(GATES, self._relaxed(logits)).sigmoid()
            code = gate
            if self.factors:
                code = gate * pyro.sample(FACTORS, dist.Independent(standard_normal(gate), 1))
            output = self.decode(code)
            pyro.sample(OBSERVED, self.observation(output), obs=target)
        return output

    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """Sample q(ν), q(z | x, ν) and q(a | x, z), or without ν and z in their conditions."""
        self.register_with_pyro()
        prior_logits = self.sticks.logits(pyro.sample(STICKS, self.sticks.posterior()))
        with pyro.plate(DATA_PLATE, x.shape[0], dim=-1):
            seen, _ = self.observation.seen(x, None)
            evidence, *parts = self.networks.encode(seen)
            logits = self.gate_logits(evidence, prior_logits)
            gate = pyro.sample(GATES, self._relaxed(logits)).sigmoid()
            if self.factors:
                pyro.sample(FACTORS, dist.Independent(self.factor_posterior(parts, gate), 1))

    def _relaxed(self, logits: Tensor) -> TorchDistribution:
        return dist.Independent(BinaryConcrete(self.temperature, logits=logits), 1)

    def gate_logits(self, evidence: Tensor, prior_logits: Tensor) -> Tensor:
        """Logits of q(z | x, ν) ``[n, K]``, given h ``[n, K]`` and logit π ``[K]``."""
        if self.guide_structure == "structured":
            return prior_logits + evidence
        return self.sticks.prior_logits + evidence

    def evidence_of_nothing(self) -> Tensor:
        """The h ``[K]`` of features of which examples tell nothing: q(z) is p(z) at E π."""
        if self.guide_structure == "structured":
            return torch.zeros_like(self.sticks.prior_logits)
        return self.scales().logit() - self.sticks.prior_logits

    def factor_posterior(self, parts: Sequence[Tensor], gate: Tensor) -> TorchDistribution:
        """q(a | x, z) given (m, ln r) and z, ``[n, K]`` each."""
        loc, log_precision = parts
        if self.guide_structure == "mean-field":
            gate = torch.ones_like(gate)
        precision = log_precision.clamp_max(_LARGEST_LOG_PRECISION).exp()
        variance = 1 / (1 + gate.square() * precision)
        return dist.Normal(gate * precision * loc * variance, variance.sqrt())

    def decode(self, code: Tensor) -> Tensor:
        """Logits or means given z ⊙ a ``[n, K]``; ``[n, *shape]``."""
        output: Tensor = self.networks.rest(self.first(code))
        return output.reshape(-1, *self.shape)

    @torch.no_grad()
    @typed()
    def bound(self, x: Tensor, draws: int = 1, *, relaxed: bool = False, seed: int = 0) -> Tensor:
        r"""Evidence lower bound of every example, ``[n]`` in nats, without the term of ν.

        .. math:: E_{q(\nu)}\bigl[ E_{q(z, a | x, \nu)} \ln p(x | z, a)
            - KL(q(z | x, \nu) \| p(z | \nu)) - E\, KL(q(a | x, z) \| p(a)) \bigr]

        with binary z and the exact divergence of Bernoullis, a bound for the binary model; or
        ``relaxed`` as in the fit, a bound for the relaxed one. KL(q(ν) ‖ p(ν)), which a sample
        pays once, is ``sticks.divergence()``.

        Args:
            x: examples ``[n, *shape]``.
            draws: of ν, z and a, averaged over.
            relaxed: which model.
            seed: of the draws; torch's random state is left as it was.

        Raises:
            ValueError, TypeError: for examples of another shape, draws or a seed out of range.
        """
        return bound(self, self.examples(x), draws, relaxed=relaxed, seed=seed)

    @torch.no_grad()
    def reset(self) -> None:
        """Draw weights anew; ν starts at its prior."""
        self._reset_networks()
        self.observation.reset()
        self.sticks.reset()

    def _reset_networks(self) -> None:
        self.networks.reset()
        nn.init.xavier_uniform_(self.first.weight)
        nn.init.zeros_(self.first.bias)

    def moves(self, x: Tensor) -> Iterator[Callable[[], None]]:
        """Merge two features or drop one; see :func:`~.feature_moves.feature_moves`."""
        return feature_moves(self, x)

    @torch.no_grad()
    def scales(self) -> Tensor:
        """E π, the probability of every feature in a new example, ``[K]``."""
        return self.sticks.popularity()

    def included(self) -> Tensor:
        """The same."""
        return self.scales()

    @torch.no_grad()
    @typed()
    def activity(self, x: Tensor) -> Tensor:
        """q(z_nk = 1 | x_n) at the mean of π, ``[n, K]``.

        Raises:
            ValueError, TypeError: for examples that are none of the model.
        """
        evidence, *_ = self.networks.encode(self.examples(x))
        return self.gate_logits(evidence, self.scales().logit()).sigmoid()

    def _code_of(self, examples: Tensor) -> Tensor:
        """E[z ⊙ a | x] of binary z, or E[z | x] without factors, at the mean of π; ``[n, K]``."""
        activity = self.activity(examples)
        if not self.factors:
            return activity
        _, *parts = self.networks.encode(examples)
        mean: Tensor = self.factor_posterior(parts, torch.ones_like(activity)).mean
        return activity * mean

    def mean_of_latents(self, z: Tensor) -> Tensor:
        """E[x | z ⊙ a], ``[n, *shape]``, differentiable."""
        return self.observation.mean(self.decode(z))

    def prior_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw z ⊙ a of new examples at the mean of π, ``[n, K]``, z binary."""
        z = torch.bernoulli(self.scales().expand(n, -1), generator=generator)
        if not self.factors:
            return z
        return z * torch.randn(z.shape, generator=generator, device=z.device)

    def lost(self) -> float:
        """Features an example that the prior has after the K-th, in the mean: α (α/(1+α))^K."""
        mass = float(self.sticks.mass)
        return mass * (mass / (1 + mass)) ** self.latents

    def site_dims(self) -> dict[str, tuple[str, ...]]:
        """The dim ``feature``."""
        return {STICKS: ("feature",)}

    def structure(self) -> xr.Dataset:
        """E π_k of every feature, variable ``inclusion`` with dim ``feature``."""
        import xarray as xr

        popularity = self.scales().clamp(0.0, 1.0).cpu().numpy()
        return xr.Dataset(
            {"inclusion": ("feature", popularity)},
            attrs={"quantity": "posterior mean of the probability that an example has a feature"},
        )
