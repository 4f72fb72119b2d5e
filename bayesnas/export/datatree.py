"""Draws, log-densities and training history as xarray objects that ArviZ reads.

Everything here takes plain arrays, numpy's or torch's. `to_datatree` builds the
`xarray.DataTree` that ArviZ 1.x works on; on ArviZ 0.23 `to_inference_data` turns the same tree
into an `arviz.InferenceData`. Either writes netCDF that the other generation opens.

| | ArviZ 0.23 | ArviZ 1.x |
|---|---|---|
| summary, loo, plots | `az.summary(to_inference_data(tree))` | `az.summary(tree)` |
| write | `tree.to_netcdf(path)` or `inference_data.to_netcdf(path)` | `tree.to_netcdf(path)` |
| read | `az.from_netcdf(path)` or `xarray.open_datatree(path)` | the same |

Draws from a guide are independent, so pass `reff=1.0` to `az.loo`: by default it estimates their
efficiency from every weight of the posterior, which takes long for a network and mistakes the
difference between restarts for autocorrelation. `az.loo` takes each observation out once, which
is leaving it out at λ = 1 only: at another λ the tempered target counts it 1/λ times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnas.export.arviz_version import arviz, has_inference_data, to_numpy
from bayesnas.export.datasets import SAMPLE_DIMS, attributes, dataset, named, provenance
from bayesnas.export.psis import checked_kl_weight, pareto_k, separate_ties, tempered_log_weights
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray

    from bayesnas.export.arviz_version import Array
    from bayesnas.export.datasets import Coords, Variables
    from bayesnas.export.psis import Doubles

__all__ = [
    "pareto_k",
    "tempered_log_weights",
    "to_datatree",
    "to_inference_data",
]

ABOUT_DATA = (
    "posterior_predictive",
    "prior_predictive",
    "log_likelihood",
    "observed_data",
    "constant_data",
)


@typed()
def to_datatree(
    *,
    posterior: Mapping[str, Array],
    dims: Mapping[str, Sequence[str]],
    log_prior: Mapping[str, Array],
    log_q: Array,
    kl_weight: float,
    coords: Mapping[str, Any] | None = None,
    log_lik_total: Array | None = None,
    log_likelihood: Mapping[str, Array] | None = None,
    posterior_predictive: Mapping[str, Array] | None = None,
    observed_data: Mapping[str, Array] | None = None,
    constant_data: Mapping[str, Array] | None = None,
    prior: Mapping[str, Array] | None = None,
    prior_predictive: Mapping[str, Array] | None = None,
    structure: Mapping[str, Array] | None = None,
    point_estimates: Mapping[str, Array] | None = None,
    svi: Mapping[str, Array] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xarray.DataTree:
    r"""Build the tree of groups that ArviZ reads from the draws of one fit.

    Arrays are not copied: the tree shows the memory it was given (but see `log_likelihood`).

    Args:
        posterior: site name to draws, `chains x draws x ...`. Every other sampled argument has
            the same chains (the restarts of the fit) and draws.
        dims: names of the dimensions after chain and draw (for `observed_data` and
            `constant_data`: of all of them) of any variable, e.g. `("layer1.out", "layer1.in")`
            for `layer1.weight`. What is not named becomes `<name>_dim_0`, ... as in ArviZ. A
            variable has the same names in each group, so that `y` lines up wherever it is.
        log_prior: site name to its log-density under the prior, `chains x draws`, summed over
            the site. All sites, also those that `posterior` leaves out.
        log_q: log-density of the draws under the guide, summed over all sites, `chains x draws`.
        kl_weight: λ, finite and >= 0. A float64 coordinate, and an attribute, of each group
            that depends on it.
        coords: dimension name to the labels along it; 0, 1, ... where there are none.
        log_lik_total: log-likelihood of the whole training sample, unscaled, `chains x draws`.
            With it, and λ > 0, `sample_stats` holds `lp`, the tempered log target
            $\sum_s \log p(w_s) + \tfrac{1}{\lambda} \log p(D \mid w)$.
        log_likelihood: pointwise and unscaled, `{"y": chains x draws x observations}`, of the
            data in `observed_data`. Observations with the same value in every draw, on which
            `az.loo` would fail, are lowered by up to 1e-10 (times their size, if above one), in
            a float64 copy; the group's attribute `ties_separated` counts them.
        posterior_predictive: `{"y": chains x draws x observations}`.
        observed_data: `{"y": observations}`.
        constant_data: whatever was conditioned on, such as `{"x": observations x features}`.
        prior: site name to draws of the prior, ``chains x draws x ...``, of another number.
        prior_predictive: ``{"y": chains x draws x observations}``, as many draws as ``prior``.
        structure: what each chain says of the structure, ``chains x ...``.
        point_estimates: what each chain has learned as numbers, ``chains x ...``.
        svi: history of the fit by name (`loss`, `kl`, ...), `chains x steps`, or one number a
            chain, `chains`.
        attrs: written on the tree and every group, beside created_at, inference_library and
            its version. What netCDF can't hold (None, booleans, dicts, ...) is written as JSON.

    Returns:
        A tree with the groups posterior, posterior_predictive, log_likelihood, log_prior,
        sample_stats (log_q, lp), observed_data, constant_data, prior, prior_predictive, structure,
        point_estimates and svi, as far as given.

    Raises:
        ValueError: if there are no posterior sites, a shape disagrees with its names, labels,
            chains or draws, a name can't be kept, or `kl_weight` is negative or not finite.

    Example:
        >>> import numpy as np
        >>> tree = to_datatree(
        ...     posterior={"layer1.weight": np.zeros((2, 500, 3, 4))},
        ...     dims={"layer1.weight": ("layer1.out", "layer1.in")},
        ...     log_prior={"layer1.weight": np.zeros((2, 500))},
        ...     log_q=np.zeros((2, 500)),
        ...     kl_weight=0.1,
        ... )
        >>> dict(tree.posterior["layer1.weight"].sizes)
        {'chain': 2, 'draw': 500, 'layer1.out': 3, 'layer1.in': 4}
        >>> float(tree.posterior.kl_weight)
        0.1
    """
    import xarray

    kl_weight = checked_kl_weight(kl_weight)
    if not posterior:
        raise ValueError("posterior must hold at least one site, got none")
    draws = named("posterior", posterior, SAMPLE_DIMS, dims)
    shape = next(iter(draws.values()))[1].shape[:2]
    log_priors, stats = _log_densities(log_prior, log_q, log_lik_total, kl_weight, shape)
    pointwise = _pointwise_dims(log_likelihood or {}, dims)
    likelihood, ties = _separated(named("log_likelihood", log_likelihood, SAMPLE_DIMS, pointwise))
    predictive = named("posterior_predictive", posterior_predictive, SAMPLE_DIMS, dims)
    groups = _datasets(
        {
            "posterior": draws,
            "posterior_predictive": predictive,
            "log_likelihood": likelihood,
            "log_prior": named("log_prior", log_priors, SAMPLE_DIMS, {}),
            "sample_stats": named("sample_stats", stats, SAMPLE_DIMS, {}),
            "svi": _history(svi or {}),
            "structure": named("structure", structure, SAMPLE_DIMS[:1], dims),
            "point_estimates": named("point_estimates", point_estimates, SAMPLE_DIMS[:1], dims),
            "prior": named("prior", prior, SAMPLE_DIMS, dims),
            "prior_predictive": named("prior_predictive", prior_predictive, SAMPLE_DIMS, dims),
            "observed_data": named("observed_data", observed_data, (), dims),
            "constant_data": named("constant_data", constant_data, (), dims),
        },
        coords or {},
        dict(zip(SAMPLE_DIMS, shape, strict=True)),
        kl_weight,
    )
    shared = attributes({**provenance(), **(attrs or {}), "kl_weight": kl_weight})
    tree = {name: group.assign_attrs(shared) for name, group in groups.items() if group.data_vars}
    if "log_likelihood" in tree:
        tree["log_likelihood"].attrs["ties_separated"] = ties
    return xarray.DataTree.from_dict({"/": xarray.Dataset(attrs=shared), **tree})


def _pointwise_dims(
    log_likelihood: Mapping[str, Array], dims: Mapping[str, Sequence[str]]
) -> dict[str, Sequence[str]]:
    """Dims of pointwise log likelihoods: of targets with many values there is one an example."""
    pointwise = dict(dims)
    for name, value in log_likelihood.items():
        if name in dims and np.ndim(value) == len(SAMPLE_DIMS) + 1:
            pointwise[name] = dims[name][:1]
    return pointwise


@typed(unchecked=("data", "tree"))
def to_inference_data(tree: xarray.DataTree) -> Any:
    """Turn a tree of `to_datatree` into the `arviz.InferenceData` that ArviZ 0.23 reads.

    Args:
        tree: from `to_datatree`, or read from its netCDF file.

    Returns:
        The `arviz.InferenceData` with the same groups and attributes, on the same memory.

    Raises:
        TypeError: if `tree` is no `xarray.DataTree`.
        RuntimeError: on ArviZ 1.x, which has no InferenceData and reads the tree itself.

    Example:
        >>> from importlib.metadata import version
        >>> import numpy as np
        >>> tree = to_datatree(
        ...     posterior={"w": np.ones((1, 50))}, dims={}, log_prior={"w": np.zeros((1, 50))},
        ...     log_q=np.zeros((1, 50)), kl_weight=1.0,
        ... )
        >>> readable = to_inference_data(tree) if version("arviz") < "1" else tree
        >>> float(readable.posterior["w"].mean())
        1.0
    """
    import xarray

    if not isinstance(tree, xarray.DataTree):
        raise TypeError(f"tree must be an xarray.DataTree, got {type(tree).__name__}")
    if not has_inference_data():
        raise RuntimeError(
            f"ArviZ {arviz().__version__} has no InferenceData, only versions below 1 do. "
            "It reads the DataTree itself: az.summary(tree), az.loo(tree), tree.to_netcdf(path)"
        )
    return arviz().from_datatree(tree)


def _datasets(
    groups: Mapping[str, Variables], coords: Coords, sizes: dict[str, int], kl_weight: float
) -> dict[str, xarray.Dataset]:
    datasets: dict[str, xarray.Dataset] = {}
    for name, variables in groups.items():
        weight = None if name in ("observed_data", "constant_data") else kl_weight
        if name in ("prior", "prior_predictive"):
            sizes = {dim: size for dim, size in sizes.items() if dim != "draw"}
        datasets[name] = dataset(name, variables, coords, sizes, weight)
        if name in ABOUT_DATA:
            # A dimension of the data is as long in the next group as in this one.
            sizes = sizes | {str(dim): size for dim, size in datasets[name].sizes.items()}
    return datasets


def _log_densities(
    log_prior: Mapping[str, Array],
    log_q: Array,
    log_lik_total: Array | None,
    kl_weight: float,
    shape: tuple[int, ...],
) -> tuple[dict[str, Doubles], dict[str, Doubles]]:
    """The prior's log-densities by site, and the sample statistics log_q and lp."""
    prior = {
        site: _log_density(f"log_prior[{site!r}]", value, shape)
        for site, value in log_prior.items()
    }
    stats = {"log_q": _log_density("log_q", log_q, shape)}
    if log_lik_total is not None:
        log_lik = _log_density("log_lik_total", log_lik_total, shape)
        if kl_weight > 0:
            stats["lp"] = sum(prior.values(), log_lik / kl_weight)
    return prior, stats


def _log_density(name: str, value: Array, shape: tuple[int, ...]) -> Doubles:
    """A log-density of every draw, in float64: float32 rounds sums over a network's weights."""
    density = to_numpy(value).astype(np.float64)
    if density.shape != shape:
        raise ValueError(f"{name} must be chains x draws, {shape}, got shape {density.shape}")
    return density


def _history(svi: Mapping[str, Array]) -> Variables:
    """The history's variables, whose dimensions are chain and step, or chain alone."""
    history: Variables = {}
    for name, value in svi.items():
        array = to_numpy(value)
        if array.ndim not in (1, 2):
            raise ValueError(
                f"svi[{name!r}] must be chains x steps, or chains, got shape {array.shape}"
            )
        history[name] = (("chain", "step")[: array.ndim], array)
    return history


def _separated(likelihood: Variables) -> tuple[Variables, int]:
    """The pointwise log-likelihoods as `az.loo` can take them, and how many were changed."""
    separated: Variables = {}
    ties = 0
    for name, (names, array) in likelihood.items():
        values, changed = separate_ties(array)
        separated[name] = (names, values)
        ties += changed
    return separated, ties
