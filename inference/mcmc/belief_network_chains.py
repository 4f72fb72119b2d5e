"""Chains of a belief network on data, and what they say of its structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import special
from tqdm import trange

from bayesnas.checks import draw_count, seed_number, size, step_count, whole_number
from bayesnas.distributions import LayeredGraph
from bayesnas.inference.mcmc.arviz_tree import mcmc_tree
from bayesnas.inference.mcmc.belief_network_sampler import BeliefNetworkSampler
from bayesnas.models.nonparametric.belief_network import BeliefNetwork, Doubles, Network
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

_FIRST_POWER = 0.02


@dataclass(frozen=True)
class BeliefPosterior:
    """Draws from p(network | visible units).

    Attributes:
        model: prior and density.
        draws: networks, by chain.

    >>> import numpy as np, bayesnas as bn
    >>> from bayesnas.inference.mcmc import sample_belief_network
    >>> y = np.random.default_rng(0).random((5, 3))
    >>> model = bn.models.BeliefNetwork(visible=3)
    >>> chains = sample_belief_network(model, y, draws=2, warmup=1, chains=2)
    >>> [len(draws) for draws in chains.draws]
    [2, 2]
    """

    model: BeliefNetwork
    draws: tuple[tuple[Network, ...], ...]

    @typed()
    def widths(self, layers: int | None = None) -> npt.NDArray[np.int64]:
        """Units of the first hidden layers, ``[chains, draws, layers]``, 0 above the last one.

        Args:
            layers: how many; by default as many as the deepest draw has, at least one.

        Raises:
            ValueError: for fewer than one layer.
        """
        by_chain = [[network.widths[1:] for network in chain] for chain in self.draws]
        most = max(1, max(len(widths) for chain in by_chain for widths in chain))
        count = most if layers is None else size("layers", layers)
        padded = [[(*widths, *[0] * count)[:count] for widths in chain] for chain in by_chain]
        return np.array(padded, dtype=np.int64)

    def width_probabilities(self, layer: int = 1) -> Doubles:
        """P(width of a hidden layer = 0, 1, …) over all draws, ``[largest width + 1]``.

        Raises:
            ValueError: for a layer below 1.
        """
        layer = whole_number("layer", layer, 1)
        counts = np.bincount(self.widths(layer)[:, :, layer - 1].ravel())
        probabilities: Doubles = counts / counts.sum()
        return probabilities

    def best(self) -> Network:
        """The draw with the highest joint density among those of the most frequent widths."""
        networks = [network for chain in self.draws for network in chain]
        shapes = [network.widths for network in networks]
        usual = max(set(shapes), key=shapes.count)
        return max((n for n in networks if n.widths == usual), key=self.model.log_density)

    def to_arviz(self) -> xr.DataTree:
        """Export as the tree that ArviZ reads.

        The posterior has ``width`` (dim ``layer``), ``depth``, ``edges`` (dim ``layer``: from each
        layer to the one below), and ``bias`` and ``precision`` of the visible units;
        ``log_likelihood`` that of every example given the layer above, in logits.
        """
        widths = self.widths()
        edges = [[_edges(network, widths.shape[2]) for network in chain] for chain in self.draws]
        visible = [[network.layers[0] for network in chain] for chain in self.draws]
        posterior = {
            "width": widths,
            "depth": (widths > 0).sum(2),
            "edges": np.array(edges),
            "bias": np.array([[layer.bias for layer in chain] for chain in visible]),
            "precision": np.array([[layer.precision for layer in chain] for chain in visible]),
        }
        densities = [[self.model.log_density(network) for network in c] for c in self.draws]
        pointwise = [[self.model.log_likelihood(n).sum(1) for n in chain] for chain in self.draws]
        dims = {
            "width": ("layer",),
            "edges": ("layer",),
            "bias": ("unit",),
            "precision": ("unit",),
            "y": ("example",),
            "logits": ("example", "unit"),
        }
        return mcmc_tree(
            posterior,
            dims,
            sample_stats={"lp": np.array(densities)},
            log_likelihood={"y": np.array(pointwise)},
            observed_data={"logits": visible[0][0].logits},
        )


@typed()
def sample_belief_network(
    model: BeliefNetwork,
    x: npt.ArrayLike,
    *,
    draws: int = 1000,
    warmup: int = 1000,
    chains: int = 1,
    seed: int = 0,
    progress: bool = True,
) -> BeliefPosterior:
    """Draw structures, parameters and hidden units given visible ones.

    Every chain starts without hidden units. Over the first four fifths of the warm-up the
    likelihood of the visible units is raised to a power that goes from 1/50 to 1 (annealing):
    otherwise units come in while others still explain their part, and chains stay for long with
    more units than explain as much.

    Args:
        model: prior and density.
        x: visible units, values in (0, 1), ``[n, visible]``.
        draws: kept a chain, one a sweep.
        warmup: sweeps before them, annealed.
        chains: independent chains.
        seed: of everything random; chain c is the same whatever their number.
        progress: show a bar, where stderr is a terminal.

    Raises:
        ValueError: naming the argument, what came and what was expected.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).uniform(0.2, 0.8, size=(20, 3))
    >>> post = sample_belief_network(BeliefNetwork(visible=3), x, draws=5, warmup=5)
    >>> post.widths(layers=2).shape
    (1, 5, 2)
    """
    values = _checked(model, x)
    seed = seed_number("seed", seed)
    draws = draw_count("draws", draws)
    warmup = step_count("warmup", warmup, 0)
    chains = whole_number("chains", chains, 1)
    nothing = LayeredGraph((), model.visible)
    sampled = []
    for chain in range(chains):
        rng = np.random.default_rng([seed, chain])
        sampler = BeliefNetworkSampler(model, rng)
        network = model.sample_given(nothing, len(values), rng).with_visible(values)
        kept = []
        bar = trange(
            warmup + draws, desc=f"chain {chain}", unit="sweep", disable=None if progress else True
        )
        for sweep in bar:
            cold = 0.8 * warmup
            sampler.power = 1.0 if sweep >= cold else _FIRST_POWER ** (1 - sweep / cold)
            network = sampler.sweep(network)
            if sweep >= warmup:
                kept.append(network)
        sampled.append(tuple(kept))
    return BeliefPosterior(model, tuple(sampled))


def _checked(model: BeliefNetwork, x: npt.ArrayLike) -> Doubles:
    """Logits of the visible units."""
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != model.visible:
        raise ValueError(f"x must have shape ['n', {model.visible}], got {list(values.shape)}")
    if not ((values > 0) & (values < 1)).all():
        raise ValueError(
            "x: visible units must be in (0, 1), got values from "
            f"{values.min():g} to {values.max():g}"
        )
    logits: Doubles = special.logit(values)
    return logits


def _edges(network: Network, layers: int) -> list[int]:
    counts = [int(layer.connections.sum()) for layer in network.layers]
    return (counts + [0] * layers)[:layers]
