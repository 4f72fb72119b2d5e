"""Search spaces: candidates checked, counted and drawn; conditions; what identifies a space."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import bayesnas as bn
from bayesnas.inference.search import (
    Categorical,
    Integer,
    LogReal,
    Real,
    SearchSpace,
    When,
    architecture,
)

CONDITIONAL = SearchSpace(
    {
        "depth": Integer(1, 3),
        "width1": Categorical((8, 16)),
        "width2": Categorical((8, 16), when=When("depth", (2, 3))),
        "width3": Categorical((8, 16), when=When("depth", (3,))),
    }
)


def graph() -> bn.nn.Graph:
    options = {"wide": nn.Linear(4, 4), "narrow": nn.Linear(4, 4, bias=False)}
    edges = {("x", "h"): options, ("x", "g"): options | {"tanh": nn.Tanh()}, ("g", "h"): options}
    fixed = {("h", "y"): nn.Linear(4, 2)}
    copies = {e: {k: type(m)(*_arguments(m)) for k, m in o.items()} for e, o in edges.items()}
    return bn.nn.Graph({**copies, **fixed}, example=torch.zeros(1, 4))


def _arguments(module: nn.Module) -> tuple[object, ...]:
    return (4, 4, module.bias is not None) if isinstance(module, nn.Linear) else ()


def test_every_candidate_of_a_conditional_space_is_there_once():
    candidates = [tuple(candidate.items()) for candidate in CONDITIONAL.candidates()]
    assert len(candidates) == len(set(candidates)) == CONDITIONAL.size == 2 + 4 + 8
    assert all(CONDITIONAL.checked(dict(items)) == dict(items) for items in candidates)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_size_is_the_number_of_candidates(data):
    variables: dict[str, Integer | Categorical] = {}
    for index in range(data.draw(st.integers(1, 5))):
        when = None
        if variables and data.draw(st.booleans()):
            name = data.draw(st.sampled_from(sorted(variables)))
            values = st.lists(st.sampled_from(variables[name].values), min_size=1, unique=True)
            when = When(name, tuple(data.draw(values)))
        last = data.draw(st.integers(1, 3))
        kinds = Integer(1, last, when=when), Categorical(tuple("abc"[:last]), when=when)
        variables[f"v{index}"] = data.draw(st.sampled_from(kinds))
    space = SearchSpace(variables)
    assert space.size == sum(1 for _ in space.candidates())


def test_the_size_of_a_deep_space_is_known_without_its_candidates():
    layers = {"depth": Integer(1, 40)} | {
        f"width{i}": Categorical((8, 16, 32), when=When("depth", tuple(range(i, 41))))
        for i in range(1, 41)
    }
    assert SearchSpace(layers).size == sum(3**depth for depth in range(1, 41))
    chain = {"v0": Categorical((False, True))} | {
        f"v{i}": Categorical((False, True), when=When(f"v{i - 1}", (True,))) for i in range(1, 60)
    }
    assert SearchSpace(chain).size == 61


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_what_is_drawn_is_a_candidate(seed):
    space = SearchSpace(
        {
            "kind": Categorical(("a", None, 3)),
            "rate": LogReal(1e-4, 1.0, when=When("kind", ("a",))),
            "share": Real(-1.0, 2.0),
            "count": Integer(-2, 2),
        }
    )
    drawn = space.sample(np.random.default_rng(seed))
    assert space.checked(drawn) == drawn
    assert ("rate" in drawn) == (drawn["kind"] == "a")


def test_a_log_real_is_drawn_uniformly_in_its_logarithm():
    generator = np.random.default_rng(0)
    logs = np.log10([LogReal(1e-3, 1e3).sample(generator) for _ in range(4000)])
    # The mean of a uniform on [-3, 3] has a standard error of sqrt(36 / 12 / 4000) = 0.027.
    assert abs(logs.mean()) < 5 * 0.0274
    assert abs((logs < -1).mean() - 1 / 3) < 5 * math.sqrt(2 / 9 / 4000)


def test_a_real_variable_makes_a_space_infinite():
    space = SearchSpace({"rate": Real(0, 1)})
    assert space.size == math.inf
    with pytest.raises(ValueError, match="finite to be enumerated, got a real variable.* 'rate'"):
        space.candidates()


def test_the_space_of_a_graph_has_a_variable_for_each_mixed_edge():
    mixed = graph()
    space = SearchSpace.of_graph(mixed)
    assert space.size == 2 * 3 * 2
    sizes = {
        mixed.discrete(architecture(mixed, candidate)).parameter_count
        for candidate in space.candidates()
    }
    assert sizes == {
        # two or three linear maps of 16 weights, each with or without 4 biases; tanh has none
        10 + 16 * linear + 4 * bias
        for linear in (2, 3)
        for bias in range(linear + 1)
    }


def test_a_fixed_graph_is_no_space():
    fixed = bn.nn.Graph({("x", "y"): nn.Linear(2, 1)}, example=torch.zeros(1, 2))
    with pytest.raises(ValueError, match="graph must have a mixed edge"):
        SearchSpace.of_graph(fixed)


def test_the_fingerprint_tells_spaces_apart_and_is_stable():
    assert SearchSpace({"a": Integer(1, 3)}).fingerprint == "e36f6d0941394b82"
    others = [
        SearchSpace({"a": Integer(1, 4)}),
        SearchSpace({"b": Integer(1, 3)}),
        SearchSpace({"a": Categorical((1, 2, 3))}),
        SearchSpace({"a": Integer(1, 3), "b": Real(0, 1)}),
        SearchSpace({"b": Real(0, 1), "a": Integer(1, 3)}),
        SearchSpace({"b": LogReal(0.5, 1), "a": Integer(1, 3)}),
        CONDITIONAL,
    ]
    assert len({space.fingerprint for space in others}) == len(others)
    assert SearchSpace.from_dict(CONDITIONAL.to_dict()).fingerprint == CONDITIONAL.fingerprint


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        ({}, "must have a value for 'depth'"),
        ({"depth": 4, "width1": 8}, "depth must be a whole number from 1 to 3, got 4"),
        ({"depth": 1.5, "width1": 8}, "depth must be a whole number"),
        ({"depth": 1, "width1": 9}, r"width1 must be one of \[8, 16\], got 9"),
        ({"depth": 1, "width1": 8, "width2": 8}, r"got also \['width2'\]"),
        ({"depth": 2, "width1": 8}, "must have a value for 'width2'"),
    ],
)
def test_a_wrong_candidate_is_refused_by_name(candidate, message):
    with pytest.raises(ValueError, match=message):
        CONDITIONAL.checked(candidate)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SearchSpace({}), "variables must be a mapping with one variable or more"),
        (lambda: SearchSpace({"a": 3}), "variables must map names to"),
        (lambda: Categorical(()), "choices must be different"),
        (lambda: Categorical((1, True)), "choices must be different"),
        (lambda: Integer(3, 1), "high must be a whole number from 3"),
        (lambda: Real(1, 1), "high must be above low"),
        (lambda: LogReal(0, 1), "low must be a finite number > 0"),
        (lambda: Real(0, math.nan), "high must be a finite number"),
        (
            lambda: SearchSpace({"a": Integer(1, 2, when=When("b", (1,))), "b": Integer(1, 2)}),
            "must name a variable before it",
        ),
        (
            lambda: SearchSpace({"b": Integer(1, 2), "a": Integer(1, 2, when=When("b", (5,)))}),
            "from 1 to 2, got 5",
        ),
    ],
)
def test_a_wrong_space_is_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
