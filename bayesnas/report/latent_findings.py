"""What a report says of the latent dimensions of an autoencoder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bayesnas.models.autoencoders.active_units import MEASURES
from bayesnas.models.autoencoders.base import Autoencoder
from bayesnas.models.base import BayesianModel
from bayesnas.plots.structure.latents import TRAVERSED

if TYPE_CHECKING:
    import xarray as xr

_ROWS = 12
_EXAMPLES = 2_000


@dataclass(frozen=True)
class Latents:
    """How relevant the dimensions are, and what the most relevant ones do.

    Attributes:
        measures: what ``model.measures(x)`` gives.
        active: number of active dimensions, by measure.
        shown: the most relevant dimensions, the first one first.
        frames: decoded images as each of these moves, ``[shown, TRAVERSED, height, width]``; None
            where an example is no image.
    """

    measures: xr.Dataset
    active: dict[str, int]
    shown: list[int]
    frames: npt.NDArray[Any] | None

    def to_dict(self) -> dict[str, Any]:
        """Measures and counts, as JSON values."""
        measures = {str(name): values.values.tolist() for name, values in self.measures.items()}
        return {"active": self.active, **measures}


def latents_of(model: BayesianModel, x: Tensor) -> Latents | None:
    """Measure the dimensions of an autoencoder on examples; None for other models.

    Args:
        model: fitted.
        x: examples ``[n, *shape]``, of which the first thousands are taken. Where the model draws
            pixels they are drawn once. Traversals start from the first one.
    """
    if not isinstance(model, Autoencoder):
        return None
    model.eval()
    x = _seen(model, x[:_EXAMPLES])
    measures = model.measures(x)
    shown = [int(n) for n in measures["sensitivity"].values.argsort()[::-1][:_ROWS]]
    active = {by: int(model.active(x, by).sum()) for by in MEASURES}
    return Latents(measures, active, shown, _frames(model, x[0], shown))


def _seen(model: Autoencoder, x: Tensor) -> Tensor:
    if not model.observation.binarize:
        return x
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    return (noise < x).to(x)


def _frames(model: Autoencoder, x: Tensor, latents: list[int]) -> npt.NDArray[Any] | None:
    side = math.isqrt(x.numel())
    sides = x.shape[-2:] if x.ndim > 1 else (side, side)
    if math.prod(sides) != x.numel():
        return None
    moved = [model.traverse(latent, TRAVERSED, x).reshape(-1, *sides) for latent in latents]
    return np.stack([frames.cpu().numpy() for frames in moved])
