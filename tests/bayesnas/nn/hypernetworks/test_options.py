"""Kinds of maps from the KL weight to parameters, and their options."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.nn.hypernetworks.intervals import LogInterval
from bayesnas.nn.hypernetworks.options import CustomMap, make_map, read_map

SPAN = LogInterval(0.1, 100.0)


def test_the_ends_of_a_range_are_exact() -> None:
    assert SPAN.normalised(0.1) == 0.0
    assert SPAN.normalised(100.0) == 1.0
    assert (SPAN.value(0.0), SPAN.value(1.0)) == (0.1, 100.0)
    assert SPAN.normalised(1.0) == pytest.approx(1 / 3)
    assert SPAN.value(SPAN.normalised(7.0)) == pytest.approx(7.0)
    assert SPAN.normalised(0.1 * (1 - 1e-9)) == 0.0  # rounding


@pytest.mark.parametrize("outside", [0.0999, 100.1, 0.0, 1e9])
def test_outside_the_range_is_refused_with_the_range(outside: float) -> None:
    with pytest.raises(ValueError, match=r"kl_weight must be in the fitted range \[0.1, 100\]"):
        SPAN.normalised(outside)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bn.nn.PiecewiseMap(knots=1), "knots must be at least 2, got 1"),
        (lambda: bn.nn.PiecewiseMap(knots=()), "knots must be at least 2"),
        (lambda: bn.nn.CurvatureMap(knots=1), "knots must be at least 2, got 1"),
        (lambda: bn.nn.CurvatureMap(rank=0), "rank must be a whole number >= 1, got 0"),
        (lambda: bn.nn.CurvatureMap(balance=-1), "balance must be .* got -1"),
        (lambda: bn.nn.CurvatureMap(knots=(1, 10)).check(SPAN), "knots must increase from 0.1"),
        (lambda: bn.nn.LowRankMap(rank=0), "rank must be a whole number >= 1, got 0"),
        (lambda: bn.nn.LowRankMap(hidden=2.5), "hidden must be a whole number >= 1, got 2.5"),
        (lambda: bn.nn.MonotoneMap((1.0, 2.0), knots=1), "knots must be at least 2, got 1"),
        (lambda: bn.nn.MonotoneMap((1.0, float("inf"))), r"costs must be finite.*inf"),
        (
            lambda: bn.nn.MonotoneMap((1.0, 2.0), (1, 10)).check(SPAN),
            "knots must increase from 0.1",
        ),
        (
            lambda: bn.nn.MonotoneMap((1.0,) * 5).build(torch.zeros(6), [torch.Size([2, 3])], SPAN),
            r"costs must have a number.*got 5 for shapes \[\[2, 3\]\]",
        ),
        (
            lambda: bn.nn.MonotoneMap((1.0,) * 6).build(
                torch.zeros(6), [torch.Size([3])] * 2, SPAN
            ),
            "costs must have a number for each of one tensor",
        ),
        (
            lambda: bn.nn.MonotoneMap((1.0,)).build(torch.zeros(1), [torch.Size([])], SPAN),
            "costs must have a number for each of one tensor",
        ),
        (lambda: make_map("quadratic"), "amortize must be one of .*low-rank.*got 'quadratic'"),
        (
            lambda: bn.nn.PiecewiseMap(knots=(1, 10)).check(SPAN),
            "knots must increase from 0.1 to 100",
        ),
        (lambda: bn.nn.PiecewiseMap(knots=(0.1, 9, 9, 100)).check(SPAN), "knots must increase"),
        (lambda: bn.nn.PiecewiseMap(knots=(0.1, 1000)).check(SPAN), "fitted range"),
    ],
)
def test_bad_options_are_named(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("wrong", [3, None, nn.Linear(1, 1)])
def test_what_is_no_map_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match="amortize must be one of"):
        make_map(wrong)  # type: ignore[arg-type]


def test_a_kind_may_be_given_as_its_class() -> None:
    assert make_map(bn.nn.LowRankMap) == make_map("low-rank") == bn.nn.LowRankMap()


def test_a_function_must_make_a_module() -> None:
    with pytest.raises(TypeError, match="amortize must make an nn.Module"):
        CustomMap(lambda start: start).build(torch.zeros(2), [], SPAN)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    "kind",
    [
        bn.nn.LinearMap(),
        bn.nn.PiecewiseMap(),
        bn.nn.PiecewiseMap(knots=(0.1, 1, 100)),
        bn.nn.PiecewiseMap(knots={"kl_weight": (0.1, 1, 100)}),
        bn.nn.LowRankMap(3, 7),
        bn.nn.CurvatureMap(),
        bn.nn.CurvatureMap(knots=(0.1, 1, 100), rank=2, coarse_to_fine=False),
        bn.nn.CurvatureMap(knots={"kl_weight": (0.1, 1, 100)}),
        bn.nn.MonotoneMap((0.0, 1.0, 2.5, 0.0, 3.0, 1e6)),
        bn.nn.MonotoneMap((0.0, 1.0, 2.5, 0.0, 3.0, 1e6), knots=(0.1, 3, 100)),
    ],
)
def test_maps_survive_json(kind: bn.nn.hypernetworks.options.ParameterMap) -> None:
    written = json.loads(json.dumps(kind.config()))
    assert written == kind.config()  # else a run with it could not be resumed
    read = read_map(written)
    assert read == kind
    shapes = [torch.Size([2, 3])]
    assert len(read.build(torch.zeros(6), shapes, SPAN).leaves) == len(
        kind.build(torch.zeros(6), shapes, SPAN).leaves
    )


def test_a_map_of_ones_own_can_not_be_read_back() -> None:
    with pytest.raises(ValueError, match="amortised by a map of its own"):
        read_map(CustomMap(lambda start: nn.Linear(1, 1)).config())


def test_knots_may_be_given_as_kl_weights() -> None:
    assert bn.nn.PiecewiseMap(knots=(0.1, 10, 100)).positions(SPAN) == [
        pytest.approx([0, 2 / 3, 1])
    ]


def test_maps_by_name_give_every_parameter_its_own():
    maps = make_map({"head": "linear", "alpha": bn.nn.PiecewiseMap(knots=3)})
    kinds = {name: maps.of(name).kind for name in ("head.weight", "alpha", "header.weight")}
    assert kinds == {"head.weight": "linear", "alpha": "piecewise", "header.weight": "constant"}
    assert read_map(maps.config()) == maps
    with pytest.raises(ValueError, match=r"amortize must name trainable parameters.*got 'alpha'"):
        maps.check_names(["head.weight", "body.weight"])
    with pytest.raises(ValueError, match="knots must increase from 0.1 to 10"):
        make_map({"head": bn.nn.PiecewiseMap(knots=(0.1, 5.0))}).check(LogInterval(0.1, 10.0))
