"""Discrete sites of a user's model summed out: p(y_i | x_i, w) and the mean of y_i given w."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import torch
from pyro import poutine
from pyro.ops.contract import contract_tensor_tree, contract_to_tensor
from pyro.ops.packed import pack, unpack
from torch import Tensor

from bayesnas.inference.elbo.sites import dim_of_rows, plate_depth, scale_of_data
from bayesnas.models.base import BayesianModel
from bayesnas.models.site_kinds import is_deterministic, unmasked

Terms = OrderedDict[frozenset[str], list[Tensor]]  # log factors by the plates around them


def enumerated(model: BayesianModel, fn: Callable[..., Any]) -> Callable[..., Any]:
    """A program that runs over all values of the sites that the model sums out.

    Args:
        model: says which sites these are, and how deep its plates nest.
        fn: its program, with the other latent sites set.
    """
    if not model.summed_out:
        return fn
    wrapped: Callable[..., Any] = poutine.enum(fn, first_available_dim=-1 - model.plate_depth)
    return wrapped


def touched_sites(model: BayesianModel, trace: Any, observed: Mapping[str, Any]) -> dict[str, Any]:
    """Observed sites whose distribution, or values, depend on what is summed out."""
    summed = _summed_dims(model, trace)
    return {name: site for name, site in observed.items() if _depends(trace, name, summed)}


def summed_log_lik(
    model: BayesianModel, trace: Any, observed: Mapping[str, Any], rows: int
) -> Tensor:
    r"""Log-likelihood of every example with discrete sites summed out, ``[n]`` in nats.

    .. math:: p(y_i | w) = \sum_k p(k_i | w) p(y_i | k_i, w)

    As in ``TraceEnum_ELBO`` a mask hides observations and not p(k), and a scale multiplies the
    logarithm of the sum, which is taken by message passing: chains of ``pyro.markov`` are long.

    Args:
        model: says which sites k are summed out.
        trace: of a program from :func:`enumerated`.
        observed: sites y that depend on them; see :func:`touched_sites`.
        rows: number of examples n.

    Raises:
        ValueError: where a summed site is not one of each example by itself.
    """
    terms, summed, row = _factors(model, trace, observed)
    total = torch.zeros(rows, device=next(iter(terms.values()))[0].device)
    for plates, of_plates in contract_tensor_tree(terms, summed).items():
        for term in of_plates:
            if row not in plates:
                _refuse(model)
            dims = term._pyro_dims
            if row in dims:
                total = total + term.movedim(dims.index(row), 0).reshape(rows, -1).sum(1)
            else:  # of one example alone, or alike for all
                total = total + term.sum()
    return total * _common_scale(model, trace, observed, rows)


def summed_mean(model: BayesianModel, trace: Any, means: Tensor, rows: int) -> Tensor:
    r"""Mean of y for every example with discrete sites summed out, ``[n, ...]``.

    .. math:: E[y_i | w] = \sum_k p(k_i | w) E[y_i | k_i, w]

    Args:
        model: says which sites k are summed out.
        trace: of a program from :func:`enumerated`.
        means: of y given k, ``[..., *batch, ...]``.
        rows: number of examples n.

    Raises:
        ValueError: where a summed site is not one of each example by itself.
    """
    terms, summed, _ = _factors(model, trace, ())
    site = trace.nodes[model.target_site]
    symbols = site["infer"]["_dim_to_symbol"]
    batch = site["fn"].batch_shape
    inner = means.ndim - len(batch)
    kept = {dim: s for dim, s in symbols.items() if s in summed and dim >= -len(batch)}
    kept = {dim: s for dim, s in kept.items() if batch[dim] > 1}
    weighted = means
    if kept:
        plates = frozenset(_plates(trace, site))
        log_weights = contract_to_tensor(terms, summed, plates, set(kept.values()))
        weights = unpack(log_weights, {s: dim for dim, s in symbols.items()}).exp()
        weighted = weights.reshape(*weights.shape, *[1] * inner) * means
        for dim in kept:
            weighted = weighted.sum(dim - inner, keepdim=True)
    depth = plate_depth(site)
    means = weighted.reshape(weighted.shape[weighted.ndim - depth - inner :])
    dim = dim_of_rows(site, rows, model.row_plates)
    return means if dim is None else means.movedim(depth + dim, 0)


def _factors(
    model: BayesianModel, trace: Any, observed: Iterable[str]
) -> tuple[Terms, set[str], str]:
    """Log factors of what is summed out, its dims, and that of the examples, as symbols."""
    summed = _summed_dims(model, trace)
    rows = {trace.plate_to_symbol[name] for name in model.row_plates & {*trace.plate_to_symbol}}
    _check_latents(model, trace, summed)
    terms: Terms = OrderedDict()
    for name in [*sorted(model.summed_out), *observed]:
        site = trace.nodes[name]
        plates = _plates(trace, site)
        if name in model.summed_out and len(rows & plates) != 1:
            _refuse(model)
        hidden = None if name in model.summed_out else unmasked(site)[1]
        term = _log_prob(site) if hidden is None else _masked(_log_prob(site), hidden)
        packed = pack(term, site["infer"]["_dim_to_symbol"])
        terms.setdefault(frozenset(plates), []).append(packed)
    used = {row for plates in terms for row in rows & plates}
    if len(used) != 1:
        _refuse(model)
    return terms, summed, used.pop()


def _check_latents(model: BayesianModel, trace: Any, summed: set[str]) -> None:
    """Raise ValueError where latents of the guide depend on what is summed out."""
    for name in sorted(model.guide_sites & trace.nodes.keys()):
        if _depends(trace, name, summed):
            raise ValueError(
                f"the latent site {name!r} depends on {sorted(model.summed_out)}, which are summed "
                "out, so that its KL is not one of its own: to evaluate the model write the sum "
                "into the distribution of the site, as pyro.distributions.MixtureSameFamily does"
            )


def _summed_dims(model: BayesianModel, trace: Any) -> set[str]:
    trace.symbolize_dims()
    return {
        trace.nodes[name]["infer"]["_enumerate_symbol"]
        for name in model.summed_out
        if trace.nodes[name]["infer"].get("_enumerate_symbol")
    }


def _depends(trace: Any, name: str, summed: set[str]) -> bool:
    site = trace.nodes[name]
    if is_deterministic(site):
        return False
    shape = _log_prob(site).shape
    symbols = site["infer"]["_dim_to_symbol"]
    return any(
        size > 1 and symbols.get(dim - len(shape)) in summed for dim, size in enumerate(shape)
    )


def _plates(trace: Any, site: Any) -> set[str]:
    frames = site["cond_indep_stack"]
    return {trace.plate_to_symbol[frame.name] for frame in frames if frame.vectorized}


def _log_prob(site: Any) -> Tensor:
    fn, _ = unmasked(site)
    log_prob: Tensor = fn.log_prob(site["value"])
    return log_prob


def _masked(log_prob: Tensor, mask: Any) -> Tensor:
    return torch.where(torch.as_tensor(mask, device=log_prob.device), log_prob, 0.0)


def _common_scale(
    model: BayesianModel, trace: Any, observed: Collection[str], rows: int
) -> float | Tensor:
    """The scale of all that is summed together: a number, or one for every example."""
    scales = [scale_of_data(trace.nodes[name]) for name in [*model.summed_out, *observed]]
    first = scales[0]
    same = all(scale is first or bool(torch.as_tensor(scale == first).all()) for scale in scales)
    if not isinstance(first, Tensor) or first.numel() == 1:
        common: float | Tensor = first if not isinstance(first, Tensor) else first.reshape(())
    else:
        common = first.squeeze()
        same = same and common.shape == (rows,)
    if not same:
        raise ValueError(
            f"{sorted(model.summed_out)} and what depends on them must be scaled alike, by one "
            "number or one for every example: put one poutine.scale around them all"
        )
    return common


def _refuse(model: BayesianModel) -> None:
    raise ValueError(
        f"{sorted(model.summed_out)} are summed out, but not of each example by itself (they must "
        "stand in the plate of the examples): to evaluate the model write the sum into its "
        "likelihood, as pyro.distributions.MixtureSameFamily does"
    )
