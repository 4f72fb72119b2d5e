"""Programs whose bound would be none, refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pyro.infer import ELBO, TraceMeanField_ELBO
from torch import Tensor

from bayesnas.densities import is_point_mass
from bayesnas.models.site_kinds import (
    is_auxiliary,
    is_deterministic,
    log_density_of_delta,
    sample_sites,
    unmasked,
)


def check_program(guide_trace: Any, model_trace: Any, guide_name: str, elbo: ELBO | None) -> None:
    """Raise ValueError for a pair that observes nothing, or whose densities make no bound.

    Args:
        guide_trace: of the guide.
        model_trace: of the model at what the guide has drawn.
        guide_name: for the message.
        elbo: of Pyro's, that the pair is trained with, if any.
    """
    guide, model = sample_sites(guide_trace), sample_sites(model_trace)
    _check_observes(model)
    _check_guide_observes(guide, model, guide_name)
    _check_notes(model)
    _check_masks(guide, model, guide_name)
    _check_auxiliary(guide, guide_name)
    if isinstance(elbo, TraceMeanField_ELBO):
        _check_no_jacobians(guide, guide_name)


def _check_observes(model: Mapping[str, Any]) -> None:
    """A model that is fitted observes something of what it is given."""
    if not any(site["is_observed"] and not is_deterministic(site) for site in model.values()):
        raise ValueError(
            f"model_fn must observe the targets, y of model_fn(x, y), at a site with obs=, got "
            f"the sites {list(model)}, none of which is observed"
        )


def _check_guide_observes(
    guide: Mapping[str, Any], model: Mapping[str, Any], guide_name: str
) -> None:
    """What a guide observes would be counted as a part of its own density."""
    seen = sorted(n for n, s in guide.items() if s["is_observed"] and _observes(model.get(n)))
    if seen:
        raise ValueError(
            f"{guide_name} must sample the latent sites alone, got the observed sites {seen} of "
            "the model in it, which would count as its own density: hide them, by poutine.block"
        )


def _observes(site: Any) -> bool:
    return site is not None and bool(site["is_observed"])


def _check_notes(model: Mapping[str, Any]) -> None:
    """What is noted has no density; that of a Delta, which is no note, would be left out."""
    noted = {name: site["fn"] for name, site in model.items() if is_deterministic(site)}
    if dense := _with_jacobian(noted):
        raise ValueError(
            f"model_fn observes {dense} at a Delta that has a log density, as SplitReparam, "
            "NeuTraReparam, StructuredReparam and ConjugateReparam make it of a prior: leave the "
            "reparameterisation out, or add the term by pyro.factor"
        )


def _check_masks(guide: Mapping[str, Any], model: Mapping[str, Any], guide_name: str) -> None:
    """Entries that have no prior but a density in the guide add their entropy, without end.

    ``mask=False`` is a flat prior on purpose.
    """
    for name, site in model.items():
        if name not in guide or site["is_observed"]:
            continue
        of_model, of_guide = unmasked(site)[1], unmasked(guide[name])[1]
        if isinstance(of_model, Tensor) and not _same_mask(of_model, of_guide):
            raise ValueError(
                f"the latent site {name!r} is masked in the model and not alike in {guide_name}, "
                "so that no prior stands against what the guide says of the masked entries: mask "
                "both alike, by poutine.mask. Where targets are missing leave obs_mask= out and "
                "put poutine.mask around the observed site"
            )


def _same_mask(first: Tensor, second: Any) -> bool:
    if not isinstance(second, Tensor):
        return False
    try:
        return torch.equal(*torch.broadcast_tensors(first, second))
    except RuntimeError:
        return False


def _check_auxiliary(guide: Mapping[str, Any], guide_name: str) -> None:
    """q(w) is known where w is a function of the auxiliary sites, one value for each of theirs."""
    latent = {name: site for name, site in guide.items() if not site["is_observed"]}
    extra = {
        name: site
        for name, site in latent.items()
        if is_auxiliary(site) and unmasked(site)[1] is not False
    }
    given = sum(site["value"].numel() for site in extra.values())
    of_them = sum(site["value"].numel() for site in latent.values() if is_point_mass(site["fn"]))
    if given > of_them:
        raise ValueError(
            f"the auxiliary sites {sorted(extra)} of {guide_name} have {given} values, and its "
            f"Delta sites {of_them}: the others' density is not one of the latents, and the "
            "bound may lie above the evidence. Make sites of the model Deltas of the auxiliary "
            "ones, or mask these, dist.Normal(0, 1).mask(False), for a lower bound"
        )


def _check_no_jacobians(guide: Mapping[str, Any], guide_name: str) -> None:
    """Pyro's mean-field ELBO leaves Jacobians out, which are a part of log q."""
    if dropped := _with_jacobian({name: site["fn"] for name, site in guide.items()}):
        raise ValueError(
            f"elbo: TraceMeanField_ELBO leaves out the Jacobians that {guide_name} puts into the "
            f"densities of {dropped}, so it is no bound: leave elbo out, or give Trace_ELBO()"
        )


def _with_jacobian(fns: Mapping[str, Any]) -> list[str]:
    return [name for name, fn in fns.items() if bool((log_density_of_delta(fn) != 0).any())]
