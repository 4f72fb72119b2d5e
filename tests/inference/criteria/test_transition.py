"""When an objective can be taken from one structure to another: hand-made tables and gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import xarray as xr
from torch.distributions import Bernoulli, Categorical, kl_divergence

from bayesnas.inference.criteria import keeps_optimum, structure_divergence, transition

FAR = np.array([[0.0, 3.0], [4.0, 0.0]])


def test_the_order_has_to_turn_where_both_optima_are_kept():
    values = [[1.0, 1.0, 0.0], [0.0, 2.0, 5.0]]
    order = transition(values, FAR)
    assert order.holds
    assert order.pairs.to_dict("records") == [{"better": 0, "worse": 1, "divergence": 3.0, "at": 1}]
    kept = np.array([[True, False, True], [True, True, True]])
    assert transition(values, FAR, kept=kept).pairs["at"].tolist() == [2]
    lost = np.array([[True, False, True], [True, True, False]])
    order = transition(values, FAR, kept=lost)
    assert not order.holds
    assert order.pairs["at"].tolist() == [-1]


def test_the_start_says_which_is_the_better():
    values = [[1.0, 1.0], [0.0, 2.0]]
    assert transition(values, FAR, start=1).pairs.iloc[0][["better", "worse", "at"]].tolist() == [
        1,
        0,
        0,
    ]
    assert not transition([[1.0, 1.0], [0.0, 0.5]], FAR).holds  # the order never turns
    assert not transition([[1.0, 0.0], [1.0, 2.0]], FAR).holds  # none is the better


def test_only_structures_that_are_far_both_ways_count():
    values = [[1.0, 1.0], [0.0, 2.0]]
    assert not transition(values, FAR, least_divergence=3.5).holds
    assert not transition(values, [[0.0, 0.5], [math.inf, 0.0]]).holds
    assert transition(values, [[0.0, 1.5], [math.inf, 0.0]]).holds


def test_every_far_pair_has_to_turn():
    apart = np.full((3, 3), 9.0)
    turns = [[3.0, 0.0], [2.0, 1.0], [1.0, 2.0]]
    order = transition(turns, apart)
    assert order.holds
    assert len(order.pairs) == 3
    assert not transition([[3.0, 0.0], [2.0, 2.0], [1.0, 1.0]], apart).holds


def test_bad_tables_are_named():
    values = [[1.0, 1.0], [0.0, 2.0]]
    for message, arguments, options in (
        ("values must be numbers with 2 dim", ([1.0, 2.0], FAR), {}),
        ("values must be numbers .* got \\[\\[nan", ([[math.nan, 1.0], [0.0, 1.0]], FAR), {}),
        ("values must be an array of numbers, got 'ab'", ("ab", FAR), {}),
        ("divergences must have shape \\[2, 2\\]", (values, np.zeros((3, 3))), {}),
        ("kept must be boolean of the shape", (values, FAR), {"kept": [[1, 1], [1, 1]]}),
        ("kept must be boolean of the shape", (values, FAR), {"kept": [True, False]}),
        ("least_divergence must be", (values, FAR), {"least_divergence": -1.0}),
        ("start must be", (values, FAR), {"start": 2}),
    ):
        with pytest.raises(ValueError, match=message):
            transition(*arguments, **options)


def test_parameters_stay_where_the_gradient_does_not_change():
    """A quadratic: a strength that scales it keeps θ, one that shifts it does not."""

    def loss(theta, metaparameter):
        scale, shift = metaparameter
        return scale * (theta - 2.0 - shift).square().sum()

    theta = torch.tensor([2.0, 2.0])
    kept = keeps_optimum(loss, theta, [(1.0, 0.0), (50.0, 0.0), (1.0, 0.1), (0.0, 7.0)])
    assert kept.tolist() == [True, True, False, True]
    assert keeps_optimum(lambda t, _: t.new_ones(()).requires_grad_(), theta, [0]).all()
    assert not keeps_optimum(lambda t, _: (t * math.nan).sum(), theta, [0]).any()
    with pytest.raises(ValueError, match="tolerance must be"):
        keeps_optimum(loss, theta, [(1.0, 0.0)], tolerance=0.0)


def of(values, events, name="a"):
    return xr.Dataset({name: (("edge", "operation"), values)}, attrs={"events": events})


def test_divergences_of_structures_are_those_of_torch():
    generator = torch.Generator().manual_seed(0)
    q, p = torch.rand(2, 3, 4, generator=generator, dtype=torch.float64)
    gates = structure_divergence(of(q, "independent"), of(p, "independent"))
    assert gates == pytest.approx(kl_divergence(Bernoulli(q), Bernoulli(p)).sum().item())
    q, p = q / q.sum(-1, keepdim=True), p / p.sum(-1, keepdim=True)
    choices = structure_divergence(of(q, "exclusive"), of(p, "exclusive"))
    expected = kl_divergence(Categorical(q), Categorical(p)).sum().item()
    assert choices == pytest.approx(expected)
    assert (
        structure_divergence(of([[1.0, 0.0]], "exclusive"), of([[0.0, 1.0]], "exclusive"))
        == math.inf
    )


def test_what_are_no_structures_is_refused():
    gate = of([[0.5]], "independent")
    for other in (of([[0.5]], "exclusive"), gate.drop_attrs()):
        with pytest.raises(ValueError, match="attribute events"):
            structure_divergence(gate, other)
    for other in (of([[0.5, 0.5]], "independent"), of([[0.5]], "independent", "b")):
        with pytest.raises(ValueError, match="p must have the variables and dims"):
            structure_divergence(gate, other)
