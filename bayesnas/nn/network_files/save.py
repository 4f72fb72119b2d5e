"""``save_net`` and ``load_net``: a plain network as one file, of the format its ending says."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from bayesnas.files import check_new_file, path_of, write_new
from bayesnas.nn.graphs.net_spec import build_net, describe_net
from bayesnas.nn.network_files.exported_program import METADATA, exported, pt2_bytes
from bayesnas.nn.network_files.onnx import check_onnx, onnx_bytes
from bayesnas.tensor_files import read_safetensors
from bayesnas.typed import typed
from bayesnas.untrusted_files import untrusted_file

SUFFIXES = (".safetensors", ".pt2", ".onnx")
_HEADER = "bayesnas.net"


def check_net_path(path: str | os.PathLike[str], argument: str = "path") -> Path:
    """The path, if a network can be written there.

    Args:
        path: to be written.
        argument: what errors call it.

    Raises:
        ValueError: it ends in none of :data:`SUFFIXES`.
        FileExistsError: it is there already.
        FileNotFoundError: its folder is not.
    """
    return check_new_file(argument, path, SUFFIXES)


@typed()
def save_net(
    net: nn.Module,
    path: str | os.PathLike[str],
    example: Tensor | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a plain network to a file; one that is there is never replaced.

    A ``.safetensors`` file holds the weights and, as JSON in its header, the layers:
    :func:`load_net` gives the network back without any pickle. A ``.pt2`` file is the program
    that ``torch.export`` makes of the network in evaluation mode, for any number of rows; it needs
    torch alone: ``torch.export.load(path).module()``. An ``.onnx`` file is that program for ONNX
    runtimes, input ``x`` and output ``output``; writing it needs ``bayesnas[onnx]``.

    Args:
        net: the network, e.g. what ``post.compact()`` returned.
        path: ends in ``.safetensors``, ``.pt2`` or ``.onnx``.
        example: for ``.pt2`` and ``.onnx``: inputs ``[n, ...]`` with n >= 2, for their shape and
            type alone; none of its numbers is written.
        metadata: JSON values to go with it: under ``bayesnas`` in the header of
            ``.safetensors`` and in the metadata of ``.onnx``, as the extra file ``bayesnas.json``
            of ``.pt2``.

    Raises:
        ValueError: another ending, no example where one is needed, or a network whose program would
            take one number of rows alone.
        FileExistsError: the file is there.
        UndescribableNetError: for ``.safetensors``, layers that have no JSON description.
        ImportError: for ``.onnx``, without the packages that write it.
        OSError: the file can't be written; nothing is left of it.

    >>> import torch
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    >>> save_net(net, "small.safetensors")
    >>> torch.equal(load_net("small.safetensors")(torch.ones(1, 3)), net(torch.ones(1, 3)))
    True
    """
    target = check_net_path(path)
    text = json.dumps({} if metadata is None else dict(metadata), ensure_ascii=False)
    if target.suffix == ".safetensors":
        content = _tensors_and_spec(net, text)
    elif target.suffix == ".pt2":
        content = pt2_bytes(exported(net, example, target.suffix), text)
    else:
        check_onnx()
        content = onnx_bytes(exported(net, example, target.suffix), text)
    write_new(target, content)


@typed()
def load_net(path: str | os.PathLike[str]) -> nn.Module:
    """The network in a ``.safetensors`` file of :func:`save_net`, in evaluation mode.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, or not of :func:`save_net`.

    >>> import tempfile, bayesnas as bn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = bn.nn.save_net(bn.nn.mlp([4, 2]), f"{folder}/net.safetensors")
    ...     bn.nn.load_net(f"{folder}/net.safetensors").layer1
    Linear(in_features=4, out_features=2, bias=True)
    """
    source = path_of("path", path)
    with untrusted_file(source, "network of save_net"):
        state, header = read_safetensors(source)
        net = build_net(json.loads(header[_HEADER]))
        net.load_state_dict(state)
    return net.eval()


def _tensors_and_spec(net: nn.Module, metadata: str) -> bytes:
    header = {METADATA: metadata, _HEADER: json.dumps(describe_net(net))}
    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    return safetensors.torch.save(state, header)
