"""Leave-one-out of tempered posteriors, so that λ can be chosen by it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnas.export.arviz_version import arviz, has_inference_data
from bayesnas.export.psis import GOOD_K, largest_pareto_k
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray


@typed()
def elpd_data(tree: xarray.DataTree) -> Any:
    """Leave-one-out of a tree at one λ as ArviZ's ``ELPDData``, which ``az.compare`` takes.

    At λ = 1 it is ``az.loo(tree, pointwise=True, reff=1.0)``: draws of a guide are independent. At
    others every row is left out of the tempered target, as :func:`tempered_loo` says.

    Args:
        tree: of ``to_arviz`` with ``data=`` the training data, at one λ.

    Raises:
        ValueError: for a tree along several λ, without log-likelihoods, or at λ = 0.

    >>> import torch, bayesnas as bn
    >>> from bayesnas.export import elpd_data
    >>> data = (torch.randn(40, 2), torch.randn(40))
    >>> model = bn.models.GaussianNet(bn.nn.mlp([2, 1]), likelihood="gaussian")
    >>> post = bn.fit(model, data, kl_weight=10.0, steps=50, progress=False)
    >>> elpd_data(post.to_arviz(draws=100, data=data)).n_data_points
    40
    """
    rows = _log_lik_by_row(tree)
    if rows.sizes["kl_weight"] > 1:
        raise ValueError(
            "tree must be at one kl_weight, as at_kl_weight(tree, kl_weight) gives it, "
            f"got {rows['kl_weight'].values.tolist()}"
        )
    if not has_inference_data():
        return _elpd_of_weights(tree, rows.isel(kl_weight=0))
    loo = tempered_loo(tree).isel(kl_weight=0)
    samples = rows.sizes["chain"] * rows.sizes["draw"]
    good_k = largest_pareto_k(samples)  # as az.loo has it
    k = loo["pareto_k"]
    values = {
        "elpd_loo": float(loo["elpd"]),
        "se": float(loo["se"]),
        "p_loo": float(loo["p"]),
        "n_samples": samples,
        "n_data_points": k.size,
        "warning": bool((k > good_k).any()),
        "loo_i": loo["elpd_i"].rename("loo_i"),
        "pareto_k": k,
        "scale": "log",
        "good_k": good_k,
    }
    elpd_class = importlib.import_module("arviz.stats.stats_utils").ELPDData
    return elpd_class(data=list(values.values()), index=list(values))


def _elpd_of_weights(tree: xarray.DataTree, rows: Any) -> Any:
    """``az.loo`` of ArviZ 1.x with the smoothed weights of the tempered target."""
    importlib.import_module("arviz_stats")  # which brings the accessor
    tempered = rows / float(rows["kl_weight"])
    smoothed, k = tempered.azstats.psislw(r_eff=1.0, dim=["chain", "draw"])
    return arviz().loo(tree, pointwise=True, reff=1.0, log_weights=smoothed, pareto_k=k)


@typed()
def tempered_loo(tree: xarray.DataTree) -> xarray.Dataset:
    r"""Expected log density of a new row at every λ of a tree, by Pareto-smoothed leave-one-out.

    A fit at λ counts every row 1/λ times, so that leaving row i out of its target
    :math:`p(w) \prod_j p(y_j \mid w)^{1/\lambda}` divides by :math:`p(y_i \mid w)^{1/\lambda}`:

    .. math:: \mathrm{elpd} = \sum_i \ln \sum_s \bar w_{is}\, p(y_i \mid w_s), \qquad
        w_{is} \propto p(y_i \mid w_s)^{-1/\lambda},

    with the largest weights smoothed. At λ = 1 it is ``az.loo``. The draws are taken for those of
    the target, which ``post.pareto_k`` looks at.

    Args:
        tree: of ``to_arviz`` with ``data=`` the training data, at one λ or along several.

    Returns:
        by λ: ``elpd`` in nats, its standard error ``se``, the effective number of parameters ``p``,
        and ``large_k``, how many rows have k̂ above 0.7; by row ``elpd_i`` and ``pareto_k``.

    Raises:
        ValueError: the tree has no log-likelihoods, or λ = 0.

    References:
        Vehtari, Gelman, Gabry, *Practical Bayesian model evaluation using leave-one-out
        cross-validation and WAIC*, 2017.

    >>> import torch, bayesnas as bn
    >>> from bayesnas.export import tempered_loo
    >>> data = (torch.randn(40, 2), torch.randn(40))
    >>> model = bn.models.GaussianNet(bn.nn.mlp([2, 1]), likelihood="gaussian")
    >>> post = bn.fit(model, data, kl_weight=[0.1, 10.0], steps=50, progress=False)
    >>> loo = tempered_loo(post.to_arviz([0.1, 10.0], draws=100, data=data))
    >>> loo["elpd"].sizes
    Frozen({'kl_weight': 2})
    """
    import xarray

    ordered = _log_lik_by_row(tree)
    rows = ordered.dims[1]
    log_lik = ordered.to_numpy().reshape(*ordered.shape[:2], -1)
    weights = ordered["kl_weight"].to_numpy()
    pairs = [_one(each, float(weight)) for each, weight in zip(log_lik, weights, strict=True)]
    elpd_i, k = (np.stack(each) for each in zip(*pairs, strict=True))
    by_row = ("kl_weight", rows)
    density = np.logaddexp.reduce(log_lik, axis=-1) - np.log(log_lik.shape[-1])
    columns = {
        "elpd": ("kl_weight", elpd_i.sum(1)),
        "se": ("kl_weight", np.sqrt(elpd_i.shape[1] * elpd_i.var(1))),
        "p": ("kl_weight", (density - elpd_i).sum(1)),
        "large_k": ("kl_weight", (k > GOOD_K).sum(1)),
        "elpd_i": (by_row, elpd_i),
        "pareto_k": (by_row, k),
    }
    coords = {"kl_weight": weights, rows: ordered[rows]}
    return xarray.Dataset(columns, coords=coords)


def _log_lik_by_row(tree: xarray.DataTree) -> xarray.DataArray:
    """Log-likelihoods as ``[kl_weight, rows, chain, draw]``, in double precision."""
    names = [name for name in tree.children if name.startswith("log_likelihood")]
    if not names:
        raise ValueError("tree must have log_likelihood, as that of to_arviz(data=train), got none")
    (values,) = tree[names[0]].to_dataset().data_vars.values()
    values = values.expand_dims("kl_weight") if "kl_weight" not in values.dims else values
    rows = tuple(dim for dim in values.dims if dim not in ("chain", "draw", "kl_weight"))
    if len(rows) != 1:
        raise ValueError(f"tree must have one log-likelihood a row, got dims {values.dims}")
    if (values["kl_weight"] == 0).any():
        raise ValueError("kl_weight must be > 0 for leave-one-out, got 0: its target is a point")
    return values.transpose("kl_weight", *rows, "chain", "draw").astype(np.float64)


def _one(log_lik: Any, kl_weight: float) -> tuple[Any, Any]:
    """Log density of every row without it, and k̂, from ``[rows, draws]``."""
    if has_inference_data():
        smoothed, k = arviz().psislw(-log_lik / kl_weight, reff=1.0)
    else:
        statistics = importlib.import_module("arviz_stats.base").array_stats
        smoothed, k = statistics.psislw(log_lik / kl_weight, r_eff=1.0, axis=-1)
    return np.logaddexp.reduce(np.asarray(smoothed) + log_lik, axis=-1), np.asarray(k)
