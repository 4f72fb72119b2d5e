"""Private names of tensors and modules that are relied on, in the torch installed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from bayesnas.nn.torch_private import (
    forget_compiled,
    forward_pre_hooks,
    inside_compiled,
    is_hooked,
    list_weights,
    listed_weights,
    make_wrapper,
    names_of_weights,
    pruned_name,
    times_written,
    without_torch_function,
)

TOP = Path(__file__).resolve().parents[3]
PRIVATE = {
    "_version",
    "_flat_weights",
    "_flat_weights_names",
    "_forward_pre_hooks",
    "_forward_hooks",
    "_compiled_call_impl",
    "_tensor_name",
}


class Silent(torch.Tensor):
    """Answers every function of torch with a word."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return "asked"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} ran on a tensor without memory")


def test_a_wrapper_has_shape_type_and_device_and_no_memory() -> None:
    huge = make_wrapper(Silent, (10**6, 10**6), dtype=torch.float64, device=torch.device("cpu"))
    assert type(huge) is Silent
    with without_torch_function():
        assert huge.shape == (10**6, 10**6)
        assert huge.dtype == torch.float64
        assert huge.device == torch.device("cpu")


def test_the_protocol_is_off_inside_the_block_alone() -> None:
    wrapper = make_wrapper(Silent, (2, 3), dtype=torch.float32, device=torch.device("cpu"))
    shape = Tensor.shape.__get__
    assert shape(wrapper) == "asked"
    with without_torch_function():
        assert shape(wrapper) == (2, 3)
    assert shape(wrapper) == "asked"


def test_writing_is_counted_and_reading_is_not() -> None:
    x = torch.zeros(3)
    before = times_written(x)
    _ = x + 1
    assert times_written(x) == before
    x[:1].mul_(2)  # by way of a view
    assert times_written(x) == before + 1


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_recurrent_layer_reads_the_weights_of_its_list(kind: type[nn.RNNBase]) -> None:
    layer, x = kind(2, 3, num_layers=2), torch.ones(4, 1, 2)
    names, weights = names_of_weights(layer), listed_weights(layer)
    assert [id(weight) for weight in weights] == [id(getattr(layer, name)) for name in names]
    assert set(names) == {name for name, _ in layer.named_parameters()}
    list_weights(layer, [torch.zeros_like(weight) for weight in weights])
    assert not layer(x)[0].any()
    list_weights(layer, weights)
    assert layer(x)[0].any()


def test_hooks_are_seen() -> None:
    layer = nn.Linear(2, 2)
    assert not is_hooked(layer)
    assert list(forward_pre_hooks(layer)) == []
    handle = layer.register_forward_hook(lambda *_: None)
    assert is_hooked(layer)
    handle.remove()
    prune.l1_unstructured(layer, "weight", amount=1)
    (hook,) = forward_pre_hooks(layer)
    assert pruned_name(hook) == "weight"
    assert is_hooked(layer)


def test_compiled_modules_are_seen() -> None:
    layer = nn.Linear(2, 2)
    assert inside_compiled(layer) is None
    assert inside_compiled(torch.compile(layer)) is layer
    calls = []

    def compiler(graph: torch.fx.GraphModule, _inputs: object) -> object:
        calls.append(graph)
        return graph.forward

    layer.compile(backend=compiler)
    forget_compiled(layer)
    layer(torch.ones(1, 2))
    assert calls == []


def test_nobody_else_asks_for_them() -> None:
    users = {
        path.relative_to(TOP).as_posix()
        for folder in ("bayesnas", "models", "inference")
        for path in (TOP / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in PRIVATE
    }
    assert users == {"bayesnas/nn/torch_private.py"}
