"""Simulation-based calibration of variational posteriors: fits to data whose truth is known."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from bayesnas.checks import draw_count, flag, naming, seed_number, whole_number
from bayesnas.data import Split
from bayesnas.data.inputs import AnyInputs
from bayesnas.export.feature_coords import feature_coords
from bayesnas.inference.config.inputs import Data, check_same_inputs, checked_tensors, inputs_of
from bayesnas.inference.criteria.simulation.result import (
    PREDICTION,
    SIMULATION,
    SimulatedCalibration,
)
from bayesnas.inference.evaluation.conditionals import conditional_means, new_targets
from bayesnas.inference.evaluation.predictive import PosteriorDraw, posterior_draws
from bayesnas.inference.fit import fit
from bayesnas.inference.posterior.arviz_tree.prior import prior_values
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream, derived_seed
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

Values = Mapping[str, Tensor]


@typed(unchecked=("model", "data", "rows", "progress", "kl_weight"))
def vsbc(
    model: BayesianModel,
    data: Data,
    *,
    simulations: int = 100,
    draws: int = 100,
    rows: Any = None,
    var_names: Sequence[str] | None = None,
    kl_weight: float = 1.0,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> SimulatedCalibration:
    r"""Variational simulation-based calibration: fit to data whose truth is known, many times.

    Every simulation draws :math:`\theta_0 \sim p(\theta)` and
    :math:`y \sim p(y \mid x, \theta_0)`, fits q to (x, y) as ``bayesnas.fit`` would, and asks for
    the probability under q of less than the truth, of every scalar:

    .. math:: p = P_q(\theta < \theta_0) \approx
        \frac{\#\{s: \theta_s < \theta_0\} + u}{S + 1}, \qquad u \sim U(0, 1).

    Over the simulations p is uniform if q is the exact posterior, and symmetric about 1/2 if its
    centre has no bias, which is what estimates need. So this sees what restarts, leave-one-out and
    k̂ do not: it still speaks of networks with any number of weights, of the weights one by one,
    and with ``rows`` of predictions. It speaks of data as the prior makes them, not of those at
    hand: the prior has to be one of which data like these could come.

    Weights of a hidden layer may change places and signs, so that their p-values are symmetric
    whatever the fit does: of networks look at predictions.

    Args:
        model: a model of the zoo or a ``PyroPair``, at its hyperparameters as they stand; it is
            copied. What a fit learns as a number (a scale of the noise or the prior) is simulated
            at its value before, and not followed.
        data: whose inputs are kept; the targets say which type simulated ones have. Where both are
            the same, as of an autoencoder, the inputs are those simulated too.
        simulations: number of fits, at least 10.
        draws: S, from every posterior.
        rows: inputs whose predictions (class probabilities, or means) are followed too.
        var_names: sites to follow; None: all that rows share; an empty list: none.
        kl_weight: λ of the fits. At others than 1 q is not meant to be the posterior, and p not to
            be uniform.
        seed: simulation i has the same numbers whatever their count.
        progress: show a bar, where there is a terminal.
        options: of ``bayesnas.fit``: ``steps``, ``lr``, ``restarts`` (the best one counts), ...

    Raises:
        ValueError: naming an argument that does not fit; for ``rows`` of a model with latents of
            every example, and for data simulated from the prior that the model does not take.

    References:
        Yao, Vehtari, Simpson, Gelman, *Yes, but did it work? Evaluating variational inference*,
        2018; Talts et al., *Validating Bayesian inference algorithms with simulation-based
        calibration*, 2018.

    >>> import torch, bayesnas as bn
    >>> x = torch.randn(20, 2)
    >>> model = bn.models.GaussianNet(bn.nn.mlp([2, 1]), likelihood="gaussian", noise_scale=1.0)
    >>> calibration = bn.vsbc(model, (x, x[:, 0]), simulations=10, draws=5, steps=2, rows=x[:3])
    >>> list(calibration.p_values), calibration.p_values["prediction"].sizes["row"]
    (['layer1.weight', 'layer1.bias', 'prediction'], 3)
    """
    sample = checked_tensors(model, data, "data")
    simulations = whole_number("simulations", simulations, 10, 1_000_000)
    draws, seed = draw_count("draws", draws), seed_number("seed", seed)
    progress = flag("progress", progress)
    asked = None
    if rows is not None:
        with naming("rows"):
            asked = inputs_of(model, rows, sample.info.feature_names)
            check_same_inputs(asked, sample.x)
    truth = _prepared(model, sample, seed)
    followed = _Followed(asked, None if var_names is None else frozenset(var_names))
    p_values: dict[str, list[npt.NDArray[np.float64]]] = {}
    options = {"kl_weight": kl_weight, **options, "progress": False}
    bar = tqdm(range(simulations), "vsbc", unit="fit", disable=None if progress else True)
    for index in bar:
        seed_of_fit = derived_seed(seed, index)
        values, simulated = _simulated(truth, sample, seed_of_fit)
        post = fit(model, simulated, seed=seed_of_fit, **options)
        if not isinstance(post, Posterior):
            raise ValueError(f"kl_weight must be one number, got {kl_weight!r}")
        p = followed.p_values(truth, values, post, draws, seed_of_fit)
        for name, value in p.items():
            p_values.setdefault(name, []).append(value)
    return SimulatedCalibration(_dataset(truth, sample, p_values), model.describe(), draws)


def _prepared(model: BayesianModel, sample: Split, seed: int) -> BayesianModel:
    """A copy whose parameters are there, as a fit prepares it."""
    truth = copy.deepcopy(model)
    truth.size_for(sample.info.classes)
    with pyro_session(RandomStream(seed, sample.y.device)):
        truth.prepare(sample.x, sample.y)
    return truth.eval()


def _simulated(truth: BayesianModel, sample: Split, seed: int) -> tuple[Values, Split]:
    """Latents from the prior, and the sample with targets drawn given them."""
    stream = RandomStream(seed, sample.y.device)
    values = prior_values(truth, truth.few_rows(sample.x), stream)
    y = new_targets(truth, sample.x, sample.y, _at(values), stream)
    is_copied = isinstance(sample.x, Tensor) and torch.equal(sample.x, sample.y)
    return values, replace(sample, x=y if is_copied else sample.x, y=y)


def _at(values: Values) -> PosteriorDraw:
    """Latents as a draw; those of every example come from the prior."""
    return PosteriorDraw(dict(values), {}, local=False, means=False)


class _Followed:
    """The scalars whose p-values are taken.

    Args:
        rows: inputs whose predictions are, or None.
        sites: names of the sites that are; None for all.
    """

    def __init__(self, rows: AnyInputs | None, sites: frozenset[str] | None) -> None:
        self.rows = rows
        self.sites = sites

    def p_values(
        self, truth: BayesianModel, values: Values, post: Posterior, draws: int, seed: int
    ) -> dict[str, npt.NDArray[np.float64]]:
        """P(less than the truth) under a posterior, of every scalar."""
        model = post.model.eval()
        true = self._scalars(truth, values)
        counts: dict[str, npt.NDArray[np.float64]] = {}  # [2, ...]: draws below, and level
        for draw in posterior_draws(model, post.example[0], draws, seed):
            if draw.local and self.rows is not None:
                raise ValueError(
                    f"rows must be left out for {model.describe()}, whose predictions are those of "
                    "latents of every example"
                )
            shared = {name: value for name, value in draw.values.items() if name in values}
            for name, value in self._scalars(model, shared).items():
                below, level = value < true[name], value == true[name]
                counts[name] = counts.get(name, 0.0) + np.stack([below, level])
        rng = np.random.default_rng(seed)
        return {
            # Ties, as of gates, share their places at random: else p would not be uniform.
            name: (below + rng.uniform(size=below.shape) * (level + 1)) / (draws + 1)
            for name, (below, level) in counts.items()
        }

    def _scalars(self, model: BayesianModel, values: Values) -> dict[str, npt.NDArray[np.float64]]:
        sites = values if self.sites is None else self.sites
        if unknown := [name for name in sites if name not in values]:
            raise ValueError(f"var_names must be out of {list(values)}, got {unknown}")
        scalars = {name: values[name] for name in values if name in sites}
        if self.rows is not None:
            scalars[PREDICTION] = conditional_means(model, self.rows, _at(values))
        return {name: value.double().cpu().numpy() for name, value in scalars.items()}


def _dataset(
    model: BayesianModel, sample: Split, p_values: Mapping[str, Sequence[npt.NDArray[np.float64]]]
) -> xr.Dataset:
    """The p-values with the names of dims and features that an export has."""
    import xarray as xr

    known = model.site_dims()
    arrays = {}
    for name, each in p_values.items():
        stacked = np.stack(each)
        inner = stacked.ndim - 1
        dims = ("row", "output")[:inner] if name == PREDICTION else tuple(known.get(name, ()))
        if len(dims) != inner:
            dims = tuple(f"{name}_dim_{index}" for index in range(inner))
        arrays[name] = xr.DataArray(stacked, dims=(SIMULATION, *dims))
    dataset = xr.Dataset(arrays)
    sizes = {str(dim): size for dim, size in dataset.sizes.items()}
    dims_of = [tuple(map(str, each.dims)) for each in arrays.values()]
    labels = feature_coords(sample.info.feature_names, dims_of, sizes, getattr(model, "net", None))
    numbers = {dim: np.arange(size) for dim, size in sizes.items()}
    return dataset.assign_coords({**numbers, **labels})
