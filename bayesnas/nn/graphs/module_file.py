"""A plain network as one file that another program can read."""

from __future__ import annotations

import copy
import io
import json
import os
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from bayesnas.nn.graphs.net_spec import build_net, describe_net
from bayesnas.paths import path_of
from bayesnas.typed import typed

SUFFIXES = (".safetensors", ".pt2")

_HEADER = "bayesnas.net"


def check_net_path(path: str | os.PathLike[str], argument: str = "path") -> Path:
    """The path, if a network can be written there.

    Args:
        path: to be written.
        argument: what errors call it.

    Raises:
        ValueError: it ends in neither ``.safetensors`` nor ``.pt2``.
        FileExistsError: it is there already.
        FileNotFoundError: its folder is not.
    """
    found = path_of(argument, path)
    if found.suffix not in SUFFIXES:
        raise ValueError(f"{argument} must end in {' or '.join(SUFFIXES)}, got {str(path)!r}")
    if found.exists():
        raise FileExistsError(f"{found} is there already; give another path")
    if not found.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {found.parent} to write {found.name} to")
    return found


@typed()
def save_net(net: nn.Module, path: str | os.PathLike[str], example: Tensor | None = None) -> None:
    """Write a plain network to a file; one that is there is never replaced.

    A ``.safetensors`` file holds the weights and, as JSON in its header, the layers:
    :func:`load_net` gives the network back without any pickle. A ``.pt2`` file is the program
    that ``torch.export`` makes of the network in evaluation mode, for any number of rows; it needs
    torch alone: ``torch.export.load(path).module()``.

    Args:
        net: the network, e.g. what ``post.compact()`` returned.
        path: ends in ``.safetensors`` or ``.pt2``.
        example: for ``.pt2``: inputs ``[n, ...]`` with n >= 2.

    Raises:
        ValueError: another ending, or ``.pt2`` without an example.
        FileExistsError: the file is there.
        UndescribableNetError: for ``.safetensors``, layers that have no JSON description.
        OSError: the file can't be written; nothing is left of it.

    >>> import torch
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    >>> save_net(net, "small.safetensors")
    >>> torch.equal(load_net("small.safetensors")(torch.ones(1, 3)), net(torch.ones(1, 3)))
    True
    """
    found = check_net_path(path)
    content = _exported(net, example) if found.suffix == ".pt2" else _tensors_and_spec(net)
    _write_new(found, content)


@typed()
def load_net(path: str | os.PathLike[str]) -> nn.Module:
    """The network in a ``.safetensors`` file of :func:`save_net`, in evaluation mode.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, or not of :func:`save_net`.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as stream:
            header = stream.metadata() or {}
            state = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        net = build_net(json.loads(header[_HEADER]))
        net.load_state_dict(state)
    except (safetensors.SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path} is truncated or not a network of save_net: {error}") from error
    return net.eval()


def _tensors_and_spec(net: nn.Module) -> bytes:
    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    return safetensors.torch.save(state, {_HEADER: json.dumps(describe_net(net))})


def _exported(net: nn.Module, example: Tensor | None) -> bytes:
    if example is None or len(example) < 2:  # torch.export takes one row for a constant
        got = None if example is None else list(example.shape)
        raise ValueError(f"example must be inputs [n, ...] with n >= 2 for a .pt2 file, got {got}")
    plain = copy.deepcopy(net).cpu().eval()
    rows = {0: torch.export.Dim.AUTO}
    with torch.random.fork_rng(devices=[]):
        program = torch.export.export(plain, (example.detach().cpu(),), dynamic_shapes=(rows,))
    stream = io.BytesIO()
    torch.export.save(program, stream)
    return stream.getvalue()


def _write_new(path: Path, content: bytes) -> None:
    try:
        with path.open("xb") as stream:
            stream.write(content)
    except FileExistsError:
        raise
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(error.errno, f"could not write {path}: {error.strerror}") from error
