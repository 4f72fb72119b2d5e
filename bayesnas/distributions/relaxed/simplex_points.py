"""Points of the simplex and the cube that remember their logarithms.

Near a vertex a coordinate rounds to 0 or 1 in floating point, and a density taken from the rounded
value is infinite or wrong. A draw made here carries the coordinates it came from, ln x or logit x;
every density of this package asks for them with :func:`log_of` or :func:`logit_of`. A point made
elsewhere (or a slice, a copy) carries none, and then they are computed from the clamped value.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bayesnas.nn.torch_private import times_written

_ATTRIBUTE = "_bayesnas_natural"


def simplex_point(log_x: Tensor) -> Tensor:
    """The point x = exp(ln x), ``[..., K]``, no coordinate below the smallest normal number.

    >>> point = simplex_point(torch.tensor([-1000.0, 0.0]))
    >>> bool(point[0] > 0), log_of(point)
    (True, tensor([-1000.,     0.]))
    """
    return _carrying(log_x.exp().clamp_min(torch.finfo(log_x.dtype).tiny), log_x)


def log_of(x: Tensor) -> Tensor:
    """The coordinates ln x of a point of the simplex, finite."""
    log_x = _carried(x)
    return x.clamp_min(torch.finfo(x.dtype).tiny).log() if log_x is None else log_x


def cube_point(logit: Tensor) -> Tensor:
    """The point x = σ(logit), strictly between 0 and 1.

    >>> point = cube_point(torch.tensor(100.0))
    >>> bool(point < 1), logit_of(point)
    (True, tensor(100.))
    """
    limits = torch.finfo(logit.dtype)
    return _carrying(logit.sigmoid().clamp(limits.tiny, 1 - limits.eps / 2), logit)


def logit_of(x: Tensor) -> Tensor:
    """The coordinates logit x of a point of the cube, finite."""
    logit = _carried(x)
    if logit is not None:
        return logit
    limits = torch.finfo(x.dtype)
    x = x.clamp(limits.tiny, 1 - limits.eps / 2)
    return x.log() - (-x).log1p()


def _carrying(x: Tensor, natural: Tensor) -> Tensor:
    setattr(x, _ATTRIBUTE, (natural, _version(x)))
    return x


def _carried(x: Tensor) -> Tensor | None:
    """What a point carries, None for one that was written into since it was drawn."""
    natural, version = getattr(x, _ATTRIBUTE, (None, None))
    return natural if version == _version(x) else None


def _version(x: Tensor) -> int:
    return -1 if x.is_inference() else times_written(x)
