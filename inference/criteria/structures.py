"""How far two distributions of a structure are apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import rel_entr

from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr


@typed()
def structure_divergence(q: xr.Dataset, p: xr.Dataset) -> float:
    r"""KL(q(Γ) ‖ p(Γ)) in nats, from what two posteriors say of one structure.

    Args:
        q: from ``post.structure()``, with the attribute ``events`` that says what its values are:
            probabilities of ``"independent"`` events, or of ``"exclusive"`` ones along the last
            dim.
        p: likewise, of the same model.

    Returns:
        infinite where p rules out what q does not.

    Raises:
        ValueError: where the values are no such probabilities, or the structures differ.

    >>> import xarray as xr
    >>> def gate(p):
    ...     return xr.Dataset({"gate": ("unit", [p])}, attrs={"events": "independent"})
    >>> structure_divergence(gate(0.5), gate(0.5)), structure_divergence(gate(1.0), gate(0.5))
    (0.0, 0.693...)
    """
    kinds = [dataset.attrs.get("events") for dataset in (q, p)]
    if kinds[0] not in ("independent", "exclusive") or kinds[0] != kinds[1]:
        raise ValueError(
            "q and p must hold probabilities of a structure, with the attribute events "
            f"'independent' or 'exclusive' on both, got {kinds[0]!r} and {kinds[1]!r}"
        )
    if dict(q.sizes) != dict(p.sizes) or set(q.data_vars) != set(p.data_vars):
        raise ValueError(
            f"p must have the variables and dims of q, {list(q.data_vars)} {dict(q.sizes)}, "
            f"got {list(p.data_vars)} {dict(p.sizes)}"
        )
    terms = 0.0
    for name, variable in q.data_vars.items():
        first, second = (np.asarray(v, dtype=np.float64) for v in (variable, p[name]))
        terms += float(rel_entr(first, second).sum())
        if kinds[0] == "independent":
            terms += float(rel_entr(1 - first, 1 - second).sum())
    return max(terms, 0.0) if not math.isnan(terms) else math.inf
