"""A plain network as a program of ``torch.export``, for any number of rows, and as a .pt2 file."""

from __future__ import annotations

import copy
import io
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

METADATA = "bayesnas"
"""Name under which a file holds what was said of the network."""


def exported(net: nn.Module, example: Tensor | None, suffix: str) -> ExportedProgram:
    """The program of a network in evaluation mode.

    Args:
        net: the network; it stays as it is.
        example: inputs ``[n, ...]`` with n >= 2, for their shape and type alone.
        suffix: of the file that it is for, for messages.

    Raises:
        ValueError: there is no such example, or the network takes one number of rows alone.
    """
    if example is None or len(example) < 2:  # torch.export takes one row for a constant
        got = None if example is None else list(example.shape)
        raise ValueError(
            f"example must be inputs [n, ...] with n >= 2 for a {suffix} target, got {got}"
        )
    plain = _without_names_of_programs(copy.deepcopy(net).cpu().eval())
    rows = {0: torch.export.Dim.AUTO}
    # A program keeps its example, and with a view all that it is part of: no rows of the data.
    blank = torch.zeros(example.shape, dtype=example.dtype)
    with torch.random.fork_rng(devices=[]):
        program = torch.export.export(plain, (blank,), dynamic_shapes=(rows,))
    _check_any_rows(program, blank, type(net).__name__, suffix)
    return program


def pt2_bytes(program: ExportedProgram, metadata: str) -> bytes:
    """A .pt2 file, with JSON text in the extra file ``bayesnas.json``."""
    stream = io.BytesIO()
    torch.export.save(program, stream, extra_files={f"{METADATA}.json": metadata})
    return stream.getvalue()


def _without_names_of_programs(net: nn.Module) -> nn.Module:
    """The network, a level deeper where its parts have names that torch's programs have, too."""
    names = {*net._modules, *net._parameters, *net._buffers}
    if not any(hasattr(GraphModule, name) for name in names):
        return net
    return nn.Sequential(OrderedDict(net=net))


def _check_any_rows(program: ExportedProgram, blank: Tensor, name: str, suffix: str) -> None:
    """Raise ValueError where a program takes as many rows as its example alone."""
    more = torch.cat([blank, blank[:1]])
    try:
        with torch.no_grad():
            program.module()(more)
    except (AssertionError, RuntimeError) as error:
        raise ValueError(
            f"net must run on any number of rows for a {suffix} target, but {name} fixes it at "
            f"{len(blank)} ({error}): take x.shape[0] instead of len(x) in its forward, and no "
            "number of rows from elsewhere; a .safetensors target holds the layers of any net"
        ) from error
