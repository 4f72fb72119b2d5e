"""Which KL terms have a closed form that is exactly that of the densities in the traces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyro.distributions import Delta
from pyro.distributions.util import scale_and_mask
from torch import Tensor
from torch.distributions import kl_divergence

from bayesnas.inference.elbo.sites import total


def closed_forms(guide: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Tensor]:
    r"""KL terms in closed form, summed, by site; only those that are exact.

    The bound needs E log q(z_i | ·) − E log p(z_i | ·) of every site. With the sites before it
    drawn, this is KL(q(z_i | ·) ‖ p(z_i | ·)) if

    - nothing that p(z_i | ·) depends on is drawn later in the guide, where it could depend on z_i;
    - both sides count the same: equal shapes, scales and masks;
    - torch's closed form is of these densities. That of a ``Delta`` is not: it leaves out
      ``log_density``, which in Pyro's autoguides is the Jacobian of a constraint.

    Args:
        guide: latent sites of its trace, in the order in which they were drawn.
        model: those of the model's trace, likewise.

    References:
        Ranganath, Gerrish, Blei, *Black box variational inference*, 2014, for the draw-wise terms;
        Kucukelbir et al., *Automatic differentiation variational inference*, 2017, for Jacobians.
    """
    drawn = {name: index for index, name in enumerate(guide)}
    latest = -1  # of what the model drew before
    divergences = {}
    for name, site in model.items():
        is_after_all = drawn[name] > latest
        latest = max(latest, drawn[name])
        if is_after_all and _counts_alike(guide[name], site) and not _is_delta(guide[name]["fn"]):
            divergence = _divergence(guide[name]["fn"], site["fn"])
            if divergence is not None:
                divergences[name] = total(scale_and_mask(divergence, site["scale"], site["mask"]))
    return divergences


def _divergence(q: Any, p: Any) -> Tensor | None:
    try:
        divergence: Tensor = kl_divergence(q, p)
    except NotImplementedError:
        return None
    return divergence


def _is_delta(fn: Any) -> bool:
    # As bayesnas.densities.is_point_mass, without another call of another file: steps ask this.
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return isinstance(fn, Delta)


def _counts_alike(guide_site: Any, model_site: Any) -> bool:
    q, p = guide_site["fn"], model_site["fn"]
    return (
        q.batch_shape == p.batch_shape
        and q.event_shape == p.event_shape
        and _same(guide_site["scale"], model_site["scale"])
        and _same(guide_site["mask"], model_site["mask"])
    )


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor) or isinstance(second, Tensor):
        return first is second  # equal tensors that are made twice are looked at draw by draw
    return bool(first == second)
