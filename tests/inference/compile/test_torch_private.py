"""The private functions of torch that traced steps rely on, in the torch that is installed.

A failure here says that torch has changed: fits would still run, by eager steps.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import bayesnas as bn
from bayesnas.inference.compile.torch_private import (
    TO_COPY,
    UNSAFE_VIEW,
    Operator,
    compile_cpp,
    compile_operations,
    has_cpp_compiler,
    schema,
    trace_operations,
)
from bayesnas.inference.compile.trace import StepGraph

TOP = Path(__file__).resolve().parents[3]
ATEN = torch.ops.aten
PRIVATE = re.compile(r"torch(\.\w+)*\._[A-Za-z]\w*(\.\w+)*|torch\.fx\.experimental(\.\w+)*")


def update(x: Tensor, parameter: Tensor) -> Tensor:
    """A gradient, an update in place and a draw."""
    leaf = parameter.detach().requires_grad_()
    (gradient,) = torch.autograd.grad((x @ leaf).square().sum(), [leaf])
    parameter.sub_(0.1 * gradient)
    return parameter + torch.randn(3)


def test_a_trace_holds_gradients_writes_and_draws() -> None:
    x, parameter = torch.linspace(-1, 1, 6).view(2, 3), torch.ones(3)
    graph = trace_operations(update, [x, parameter.clone()])
    targets = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    assert all(isinstance(target, Operator) for target in targets)
    assert ATEN.sub_.Tensor in targets
    assert ATEN.randn.default in targets
    values = [node.meta["val"] for node in graph.graph.nodes if node.op == "call_function"]
    assert {value.device for value in values} == {torch.device("cpu")}
    written = parameter.clone()
    torch.manual_seed(3)
    output = graph(x, written)
    by_hand = parameter - 0.1 * 2 * x.T @ (x @ parameter)
    torch.manual_seed(3)
    assert torch.allclose(written, by_hand)
    assert torch.allclose(output, by_hand + torch.randn(3))


def test_a_compiled_trace_writes_in_place_and_draws_torchs_numbers() -> None:
    x, parameter = torch.linspace(-1, 1, 6).view(2, 3), torch.ones(3)
    graph = trace_operations(update, [x, parameter.clone()])

    def taken(run: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
        written = parameter.clone()
        torch.manual_seed(3)
        with torch.no_grad():
            return run(x, written), written

    plain = taken(graph)  # before it is compiled, which changes the graph
    compiled = taken(compile_operations(graph, [x, parameter.clone()]))
    assert torch.allclose(plain[0], compiled[0])
    assert torch.allclose(plain[1], compiled[1])


def test_a_schema_says_what_is_written_and_what_is_another_name() -> None:
    assert schema(ATEN.mul.Tensor).name == "aten::mul"
    assert [a.name for a in schema(ATEN.lerp_.Tensor).arguments] == ["self", "end", "weight"]
    assert schema(ATEN.lerp_.Tensor).is_mutable
    assert not schema(ATEN.mul.Tensor).is_mutable
    writes = [a.alias_info.is_write for a in schema(ATEN.copy_.default).arguments if a.alias_info]
    assert writes == [True]
    assert schema(ATEN.t.default).returns[0].alias_info is not None
    assert schema(torch.add) is None
    assert torch.Tag.nondeterministic_seeded in ATEN.randn.default.tags


def test_the_operators_with_private_names_do_what_they_are_taken_for() -> None:
    x = torch.arange(4.0)
    assert torch.equal(UNSAFE_VIEW(x, [2, 2]), x.view(2, 2))
    assert TO_COPY(x, dtype=torch.bfloat16).dtype == torch.bfloat16
    cast = trace_operations(lambda x: x.to(torch.bfloat16), [x])
    assert TO_COPY in [node.target for node in cast.graph.nodes]


@pytest.mark.parametrize("compile", ["trace", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_plain_fit_runs_traced_steps(
    compile: str, monkeypatch, caplog, tmp_path, xy, net
) -> None:
    """Every step is a traced one, and the log is silent."""
    # What others have left in the user's cache of compiled code says nothing of this torch.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    taken: list[int] = []
    really = StepGraph.__call__

    def counted(self: StepGraph, inputs: tuple[object, ...]) -> Tensor:
        taken.append(1)
        return really(self, inputs)

    monkeypatch.setattr(StepGraph, "__call__", counted)
    bn.fit(net, xy, steps=12, batch_size=9, compile=compile, progress=False)
    assert [r.getMessage() for r in caplog.records if r.name == "bayesnas"] == []
    assert len(taken) == 12 + 1  # and one that is compared with the eager step


def private_names(source: str) -> set[str]:
    """Private parts of torch that a source imports or reaches by a dotted name."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute):
            names.add(ast.unparse(node))
    return {name for name in names if PRIVATE.fullmatch(name)}


def test_recurrent_layers_are_traced_and_the_switch_is_put_back() -> None:
    layer = torch.nn.LSTM(2, 3)
    before = torch._C._get_mkldnn_enabled()
    with torch.no_grad():
        graph = trace_operations(lambda x: layer(x)[0], [torch.ones(4, 1, 2)])
    assert torch._C._get_mkldnn_enabled() is before
    assert "mkldnn" not in graph.code
    assert torch.allclose(graph(torch.ones(4, 1, 2)), layer(torch.ones(4, 1, 2))[0], atol=1e-6)


def test_private_names_are_seen() -> None:
    source = "from torch._guards import tracing\nimport torch\nx = torch.Tensor._make_wrapper(1)"
    assert private_names(source) == {"torch._guards.tracing", "torch.Tensor._make_wrapper"}


def test_private_names_stand_in_the_adapters_alone() -> None:
    users = {
        path.relative_to(TOP).as_posix()
        for folder in ("bayesnas", "models", "inference")
        for path in (TOP / folder).rglob("*.py")
        if private_names(path.read_text(encoding="utf-8"))
    }
    assert users == {"inference/compile/torch_private.py", "bayesnas/nn/torch_private.py"}


def test_cpp_is_compiled_where_there_is_a_compiler() -> None:
    if not has_cpp_compiler():
        pytest.skip("no C++ compiler")
    library = compile_cpp('extern "C" int twice(int number) { return 2 * number; }')
    assert library.twice(21) == 42


def test_without_a_compiler_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("/nowhere/g++",))
    assert not has_cpp_compiler()
