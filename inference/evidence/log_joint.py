"""The log joint density of a model as a differentiable function of one vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from pyro import poutine
from torch import Tensor
from torch.distributions import Transform, biject_to

from bayesnas.densities import innermost
from bayesnas.distributions import HardConcrete, SpikeAndSlab
from bayesnas.inference.elbo.messengers import FixedValues
from bayesnas.inference.elbo.sites import log_density, split_sites
from bayesnas.inference.evaluation.predictive import PosteriorDraw, model_trace
from bayesnas.models.base import BayesianModel

_WITH_ATOMS = (HardConcrete, SpikeAndSlab)


def log_joint(model: BayesianModel, x: Tensor, y: Tensor, values: Mapping[str, Tensor]) -> Tensor:
    """Ln p(y, w | x) at values of all latent sites, a scalar in nats, with gradient.

    Call it inside ``pyro_session``.
    """
    trace = poutine.trace(FixedValues(values)(model.model)).get_trace(x, y)
    latent, observed = split_sites(trace)
    return torch.stack([log_density(site) for site in (*latent.values(), *observed.values())]).sum()


@dataclass(frozen=True)
class Coordinates:
    """All latent values of a model as one vector without constraints.

    Attributes:
        example: constrained values by site, where the vector starts.
        transforms: from free coordinates to the values of a site.
        kept: which entries of a site have coordinates; None for all. The others stay.
    """

    example: dict[str, Tensor]
    transforms: dict[str, Transform]
    kept: dict[str, Tensor | None]

    @classmethod
    def of(cls, model: BayesianModel, x: Tensor, means: PosteriorDraw) -> Self:
        """The coordinates of the latent sites that examples share.

        Raises:
            ValueError: naming the site that is discrete or has a mass at one value, and for latents
                of every example.
        """
        if means.local or model.summed_out:
            raise ValueError(
                f"{model.describe()} has latents of every example, which Laplace's method does not "
                "take: take method='elbo'"
            )
        sites, _ = split_sites(model_trace(model, x, means))
        latent = {name: sites[name] for name in means.values}
        for name, site in latent.items():
            if site["fn"].support.is_discrete or isinstance(innermost(site["fn"]), _WITH_ATOMS):
                raise ValueError(
                    f"Laplace's method takes latents that have a density, got {name!r}, "
                    "some of whose values have a probability: take method='importance'"
                )
        transforms = {name: biject_to(site["fn"].support) for name, site in latent.items()}
        masks = model.keep_masks()
        return cls(means.values, transforms, {name: masks.get(name) for name in latent})

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return len(self.start())

    def start(self) -> Tensor:
        """The coordinates of the example, ``[size]``."""
        pieces = []
        for name, transform in self.transforms.items():
            free, kept = transform.inv(self.example[name]), self.kept[name]
            pieces.append(free.flatten() if kept is None else free[kept])
        return torch.cat(pieces).detach()

    def values(self, point: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Values by site, and the log Jacobian of the map to them."""
        values, log_jacobian, used = {}, point.new_zeros(()), 0
        for name, transform in self.transforms.items():
            free, kept = transform.inv(self.example[name]).detach(), self.kept[name]
            count = free.numel() if kept is None else int(kept.sum())
            part = point[used : used + count]
            free = part.reshape(free.shape) if kept is None else free.masked_scatter(kept, part)
            values[name] = transform(free)
            log_jacobian = log_jacobian + transform.log_abs_det_jacobian(free, values[name]).sum()
            used += count
        return values, log_jacobian
