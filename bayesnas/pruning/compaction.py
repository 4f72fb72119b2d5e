"""Physical removal: a smaller plain net in the place of one whose removed weights are zero."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.pruning.channel_dependencies import (
    BATCH_NORMS,
    End,
    Inputs,
    editable_layers,
    output_tensors,
    weight_out_in,
)
from bayesnas.pruning.dead_channels import Edit, find_edits

_TOLERANCE = 1e-5
_PERTURBATIONS = 2


def compact(net: nn.Module, example: Tensor | Inputs) -> nn.Module:
    """A copy of a net without its dead units, filters and channels, and with the same outputs.

    Weights that were removed have to be exactly zero. A channel (a unit, a filter) is dead if
    every weight that reads it is zero, or if every weight that writes it is zero and the constant
    it then holds can be taken into the biases of the layers that read it; that is exact for
    linear layers, and for convolutions unless they pad with zeros and the constant isn't 0. What
    died with a channel is looked for again, until nothing more goes. Inputs and outputs of the net
    stay, and every layer keeps at least one channel. Dependencies between layers (chains,
    branches, residual sums, concatenations, batch normalisation, flattening) are followed by
    torch-pruning (Fang, Ma, Song, Mi and Wang, DepGraph: towards any structural pruning, 2023).

    Every removal is verified: on the example and random perturbations of it the outputs in
    evaluation mode differ by at most 1e-5 (times the largest output, where that is above 1), in
    double precision where the net can be run in it. A removal that fails this is left out.

    Args:
        net: any plain module; it is not changed. Layers other than linear, ungrouped or depthwise
            convolution, batch normalisation and PReLU keep their channels, and so do layers next
            to operations that mix channels (layer normalisation, attention, softmax).
        example: an input for ``net``, `n x ...`, or a tuple of all its arguments.

    Returns:
        A plain module of the same classes, names, devices, types and training flags, with smaller
        layers. If torch-pruning can't follow the net, the copy is not made smaller, and a
        ``UserWarning`` says why.

    Raises:
        ValueError: the net can't be run on the example.

    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> _ = net[2].weight.data[:, 1:].zero_()  # three of four units are read by nobody
    >>> compact(net, torch.ones(5, 3))
    Sequential(
      (0): Linear(in_features=3, out_features=1, bias=True)
      (1): ReLU()
      (2): Linear(in_features=1, out_features=2, bias=True)
    )
    """
    inputs = example if isinstance(example, tuple) else (example,)
    with torch.inference_mode(False):
        _check_runs(net, inputs)
        try:
            return _shrink(net, inputs)
        except Exception as error:  # torch-pruning and the net's own code may raise anything
            warnings.warn(
                f"compact: {type(net).__name__} could not be followed and stays as large as it "
                f"was ({type(error).__name__}: {error})",
                UserWarning,
                stacklevel=2,
            )
            return _unshare_storage(copy.deepcopy(net))


def _shrink(net: nn.Module, inputs: Inputs) -> nn.Module:
    working, probes = _working_copy(net, inputs)
    dtypes = {name: layer.weight.dtype for name, layer in _layers(net)}
    wanted = [_run(working, inputs) for inputs in probes]
    smaller: nn.Module | None = working
    while smaller is not None:
        working = smaller
        smaller = _verified(working, find_edits(working, probes), probes, wanted, dtypes)
    return _unshare_storage(_restored(working, net))


def _unshare_storage(net: nn.Module) -> nn.Module:
    """Parameters that are no longer part of a larger tensor, which would be written with them."""
    for parameter in net.parameters():
        if parameter.untyped_storage().nbytes() > parameter.nbytes:
            parameter.data = parameter.detach().clone()
    return net


def _working_copy(net: nn.Module, inputs: Inputs) -> tuple[nn.Module, list[Inputs]]:
    """A copy and inputs for it, in double precision unless the net's own code rules it out."""

    def converted(dtype: torch.dtype | None) -> tuple[nn.Module, list[Inputs]]:
        working = copy.deepcopy(net).to(device="cpu", dtype=dtype).eval().requires_grad_(True)
        return working, _probes(inputs, dtype)

    double, probes = converted(torch.float64)
    try:
        _run(double, probes[0])
    except (RuntimeError, TypeError, ValueError):
        return converted(None)
    return double, probes


def _verified(
    net: nn.Module,
    edits: Sequence[Edit],
    probes: Sequence[Inputs],
    wanted: Sequence[list[Tensor]],
    dtypes: dict[str, torch.dtype],
) -> nn.Module | None:
    """The net after all edits, or after those that leave its outputs alone; None if none do."""

    def attempt(chosen: Sequence[Edit]) -> nn.Module | None:
        together = Edit()
        for edit in chosen:
            together.update(edit)
        edited = copy.deepcopy(net)
        _apply(edited, together, dtypes)
        return edited if _agrees(edited, probes, wanted) else None

    best = attempt(edits) if edits else None
    if best is not None or len(edits) < 2:
        return best
    accepted: list[Edit] = []
    for edit in edits:
        edited = attempt([*accepted, edit])
        if edited is not None:
            accepted.append(edit)
            best = edited
    return best


def _agrees(net: nn.Module, probes: Sequence[Inputs], wanted: Sequence[list[Tensor]]) -> bool:
    for inputs, expected in zip(probes, wanted, strict=True):
        try:
            outputs = _run(net, inputs)
        except (RuntimeError, ValueError, IndexError):  # sizes written into the net's own code
            return False
        if [t.shape for t in outputs] != [t.shape for t in expected]:
            return False
        for a, b in zip(outputs, expected, strict=True):
            largest = max(1.0, float(b.abs().amax())) if b.numel() else 1.0
            if not ((a - b).abs() <= _TOLERANCE * largest).all():
                return False
    return True


def _apply(net: nn.Module, edit: Edit, dtypes: dict[str, torch.dtype]) -> None:
    """Do an edit in place; folded biases are rounded to the type that they will be kept in."""
    layers = dict(_layers(net))
    with torch.no_grad():
        for name, constants in edit.fold.items():
            _fold(layers[name], constants, dtypes[name])
        for name, rows in edit.clear.items():
            weight_out_in(layers[name])[sorted(rows)] = 0
            if layers[name].bias is not None:
                layers[name].bias[sorted(rows)] = 0
    for end, indices in edit.remove.items():
        _remove(net.get_submodule(end.layer), end, sorted(indices))


def _fold(layer: Any, constants: dict[int, float], dtype: torch.dtype) -> None:
    columns = list(constants)
    weight = weight_out_in(layer)
    values = torch.tensor([constants[column] for column in columns], dtype=weight.dtype)
    shift = weight[:, columns].flatten(2).sum(2) if weight.ndim > 2 else weight[:, columns]
    shift = shift @ values
    weight[:, columns] = 0
    if (shift != 0).any():
        total = shift if layer.bias is None else layer.bias + shift
        layer.bias = nn.Parameter(total.to(dtype).to(weight.dtype))


def _remove(layer: nn.Module, end: End, indices: list[int]) -> None:
    import torch_pruning as tp

    if end.side == "through":
        if isinstance(layer, BATCH_NORMS):
            tp.prune_batchnorm_out_channels(layer, indices)
        elif isinstance(layer, nn.PReLU):
            tp.prune_prelu_out_channels(layer, indices)
        else:
            tp.prune_depthwise_conv_out_channels(layer, indices)
    elif isinstance(layer, nn.Linear):
        prune = tp.prune_linear_out_channels if end.side == "out" else tp.prune_linear_in_channels
        prune(layer, indices)
    else:
        prune = tp.prune_conv_out_channels if end.side == "out" else tp.prune_conv_in_channels
        prune(layer, indices)


def _restored(working: nn.Module, net: nn.Module) -> nn.Module:
    """The working copy with the net's own types, devices, and training and gradient flags."""
    made: dict[int, nn.Parameter] = {}
    for (_, module), (_, model) in zip(working.named_modules(), net.named_modules(), strict=True):
        module.training = model.training
        originals = dict(model.named_parameters(recurse=False))
        for key, parameter in list(module.named_parameters(recurse=False)):
            like = originals[key] if key in originals else originals["weight"]
            if id(parameter) not in made:
                value = parameter.detach().to(like.device, like.dtype)
                made[id(parameter)] = nn.Parameter(value, requires_grad=like.requires_grad)
            setattr(module, key, made[id(parameter)])
        for key, original in model.named_buffers(recurse=False):
            buffer = module.get_buffer(key)
            setattr(module, key, buffer.to(original.device, original.dtype))
    return working


def _probes(inputs: Inputs, dtype: torch.dtype | None) -> list[Inputs]:
    """The example, and random perturbations of it of its own size."""
    generator = torch.Generator().manual_seed(0)

    def perturbed(value: Tensor) -> Tensor:
        if not value.is_floating_point():
            return value[torch.randperm(len(value), generator=generator)]
        size = value.square().mean().sqrt().clamp(min=1e-3)
        return value + size * torch.randn(value.shape, generator=generator).to(value.dtype)

    moved = [value.detach().cpu().clone() for value in inputs]
    exact = tuple(value.to(dtype) if value.is_floating_point() else value for value in moved)
    return [exact, *(tuple(perturbed(value) for value in exact) for _ in range(_PERTURBATIONS))]


def _check_runs(net: nn.Module, inputs: Inputs) -> None:
    try:
        _run(copy.deepcopy(net).eval(), inputs)
    except Exception as error:
        raise ValueError(
            f"example must be an input that the net runs on, got {type(error).__name__}: {error}"
        ) from error


def _run(net: nn.Module, inputs: Inputs) -> list[Tensor]:
    with torch.no_grad():
        return [output.double() for output in output_tensors(net(*inputs))]


def _layers(net: nn.Module) -> list[tuple[str, Any]]:
    return list(editable_layers(net))
