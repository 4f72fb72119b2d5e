"""The toy experiment: its data, its graph of three functions, and what is fitted on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.distributions import GumbelSoftmax
from bayesnas.inference import GeneralisedObjective
from bayesnas.models.architecture.latent_structure import LatentStructureNet
from bayesnas.nn import Graph, SelectInputs

ROWS, INPUTS, NOISE = 50, 11, 0.5
FUNCTIONS = ("f0", "f1", "f2")
"""The constant γ₀ w₀, γ₁ tanh(w x₀ + b), which the data are of, and γ₂ tanh(wᵀx) of all inputs."""
COUNTS = (1, 2, INPUTS + 1)
"""Weights of each."""

COEFFICIENTS = {"f0": (0.01, 1.0, 100.0), "f1": (1.0, 1.0, 1.0), "f2": (100.0, 1.0, 0.01)}
"""λ^lik_Q, λ^prior_Q and λ^prior_L that put the mass on a function, as published."""
TEMPERATURES = (0.2, 1.0, 10.0)
STRUCTURE_TEMPERATURE, REPELLED = 0.1, ((0.99, 0.05, 0.05), (0.05, 0.05, 0.99))
"""𝔓: Gumbel-Softmaxes near the first and the last vertex."""
FROM, TRANSITION_TEMPERATURE = "f0", 1.0
STRUCTURE_WEIGHT = -1.0
"""λ^struct of both, as published, for fits from the start."""
STRUCTURE_WEIGHT_FROM = -10.0
"""For going on from a fit that rests at f0; chosen on seeds 100 to 102, where −3 moved none."""
SEEDS, STEPS, QUICK_STEPS = 10, 1000, 600


@dataclass(frozen=True)
class Settings:
    """What decides the numbers.

    Attributes:
        starts: seeds, of data and fits.
        steps: of a fit.
        temperatures: λ_temp of prior and guide.
        lr: learning rate of θ and h.
        clip_norm: of the gradient of the sums.
    """

    starts: int
    steps: int
    temperatures: tuple[float, ...] = TEMPERATURES
    lr: float = 0.01
    clip_norm: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """All of them, as JSON values."""
        return {**asdict(self), "temperatures": list(self.temperatures)}


def settings_of(*, quick: bool, seeds: int | None) -> Settings:
    """Those of the source with ten seeds; quick: fewer steps, one temperature, one seed."""
    if quick:
        return Settings(seeds or 1, QUICK_STEPS, (TRANSITION_TEMPERATURE,))
    return Settings(seeds or SEEDS, STEPS)


def sample(seed: int) -> tuple[Tensor, Tensor]:
    """X ~ N(0, 1) ``[50, 11]`` and a column of ones, y = tanh(x₀) + ε/2.

    >>> x, y = sample(0)
    >>> x.shape, y.shape
    (torch.Size([50, 12]), torch.Size([50]))
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(ROWS, INPUTS, generator=generator)
    y = x[:, 0].tanh() + NOISE * torch.randn(ROWS, generator=generator)
    return torch.cat([x, torch.ones(ROWS, 1)], dim=1), y


def graph() -> Graph:
    """One edge with the three functions, 1 + 2 + 12 weights."""
    constant = nn.Sequential(SelectInputs([INPUTS]), nn.Linear(1, 1, bias=False))
    of_one = nn.Sequential(SelectInputs([0]), nn.Linear(1, 1), nn.Tanh())
    of_all = nn.Sequential(nn.Linear(INPUTS + 1, 1, bias=False), nn.Tanh())
    operations = dict(zip(FUNCTIONS, (constant, of_one, of_all), strict=True))
    return Graph({("x", "y"): operations}, example=torch.zeros(1, INPUTS + 1))


def model(temperature: float) -> LatentStructureNet:
    """γ and the weights of the graph, all of h learned."""
    return LatentStructureNet(
        graph(),
        structure_prior="learned",
        prior_scale="ard",
        temperature=temperature,
        likelihood="gaussian",
    )


def objective(which: str, structure_weight: float = 0.0) -> GeneralisedObjective:
    """The objective that puts the mass on a function.

    Args:
        which: of ``FUNCTIONS``.
        structure_weight: λ^struct of each structure prior of the transition; 0 for none of them.
    """
    likelihood, upper, lower = COEFFICIENTS[which]
    priors = structure_priors()
    return GeneralisedObjective(
        kl_weight_lower=lower,
        likelihood_weight=likelihood,
        kl_weight_upper=upper,
        structure_weights=[structure_weight] * len(priors) if structure_weight else (),
        structure_priors=priors if structure_weight else (),
    )


def structure_priors() -> list[GumbelSoftmax]:
    """𝔓 of the transition.

    >>> [prior.event_shape for prior in structure_priors()]
    [torch.Size([3]), torch.Size([3])]
    """
    return [
        GumbelSoftmax(STRUCTURE_TEMPERATURE, logits=torch.tensor(shares).log())
        for shares in REPELLED
    ]


class NormClippedAdam(torch.optim.Adam):
    """Adam on gradients whose norm over all parameters is at most ``clip_norm``.

    >>> weight = nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([30.0, 40.0])
    >>> NormClippedAdam([weight], lr=0.1, clip_norm=5.0).step()
    >>> weight.grad.norm().round().item()
    5.0
    """

    def __init__(self, params: Iterable[Tensor], lr: float, *, clip_norm: float) -> None:
        """As Adam; see the class."""
        super().__init__(params, lr=lr)
        self.defaults["clip_norm"] = clip_norm  # for the description of a run
        self._clip_norm = clip_norm

    def step(self, closure: Any = None) -> Any:
        """Clip the gradient and step."""
        leaves = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        nn.utils.clip_grad_norm_(leaves, self._clip_norm)
        return super().step(closure)
