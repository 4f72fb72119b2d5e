"""Names of the dimensions of a site of a Pyro program: those of its plates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def plate_dims(
    name: str, shape: Sequence[int], frames: Iterable[Any], event_dim: int
) -> tuple[str, ...]:
    """Names of the dims of a value: of the plates that it lies in, else by their place.

    Args:
        name: of the site.
        shape: of the value.
        frames: plates around the site, its ``cond_indep_stack``.
        event_dim: how many of the last dims are those of one event.

    >>> import pyro, pyro.distributions as dist
    >>> def program():
    ...     with pyro.plate("group", 3):
    ...         pyro.sample("w", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    >>> site = pyro.poutine.trace(program).get_trace().nodes["w"]
    >>> plate_dims("w", site["value"].shape, site["cond_indep_stack"], site["fn"].event_dim)
    ('group', 'w_dim_1')
    """
    names = [f"{name}_dim_{place}" for place in range(len(shape))]
    for frame in frames:
        place = len(shape) - event_dim + (frame.dim or 0)
        if frame.vectorized and place >= 0 and shape[place] == frame.size:
            names[place] = frame.name
    return tuple(names)
