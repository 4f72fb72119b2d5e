"""Fits over a range of KL weights: how λ is drawn, gradients, and exact optima along λ."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.inference.config.amortization import Amortization, make_amortization
from bayesnas.inference.config.settings import FitSettings, StepKLWeight, make_settings
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.inference.steps.step import Step
from bayesnas.nn.hypernetworks.intervals import LogInterval
from bayesnas.nn.hypernetworks.options import make_map
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream

SPAN = LogInterval(0.1, 100.0)
MIDDLE = 10**0.5


class Lines(nn.Module):
    """A linear map, as a user would write one."""

    def __init__(self, initial: Tensor) -> None:
        super().__init__()
        self.base, self.slope = nn.Parameter(initial), nn.Parameter(torch.zeros_like(initial))

    def forward(self, t: Tensor) -> Tensor:
        return self.base + t * self.slope


KINDS = {
    "linear": "linear",
    "piecewise": "piecewise",
    "low-rank": bn.nn.LowRankMap(rank=2, hidden=6),
    "curvature": bn.nn.CurvatureMap(rank=2, balance=0.0),
    "own": Lines,
}


def lines_of_two(initial: Tensor) -> nn.Module:
    return nn.Linear(2, len(initial), dtype=initial.dtype)


def settings_of(amortize: object, **options: object) -> FitSettings:
    kl_weight = 1.0 if amortize is None else bn.LogUniform(SPAN.low, SPAN.high)
    chosen: dict[str, object] = {
        "examples": 27, "kl_weight": kl_weight, "kl_warmup": 0.0, "amortize": amortize,
        "epochs": None, "steps": 100, "batch_size": 27, "lr": 0.01, "schedule": "constant",
        "clip": None, "restarts": 1, "patience": None, "seed": 0, "compile": False,
    }  # fmt: skip
    return make_settings(**{**chosen, **options})  # type: ignore[arg-type]


def small_step(model: bn.models.GaussianNet, settings: FitSettings) -> Step:
    return Step(model, torch.optim.Adam, settings, 27, RandomStream(0, torch.device("cpu")), str)


def lambda_(value: float) -> StepKLWeight:
    return StepKLWeight(value, value)


# How λ is drawn ---------------------------------------------------------------------------


@pytest.mark.parametrize("window", [60, 240])
def test_every_stretch_of_steps_covers_the_range_evenly(window: int) -> None:
    """The largest gap in log λ is far below that of independent draws, and the ends are hit."""
    amortization = Amortization(SPAN, make_map("linear"))
    for first in (0, 1000, 12_345):
        places = [SPAN.normalised(amortization.draw(s, 3)[0]) for s in range(first, first + window)]
        assert min(places) == 0.0
        assert max(places) == 1.0
        assert np.diff(sorted(places)).max() < 3.5 / window
        at_ends = np.mean([t in (0.0, 1.0) for t in places])
        assert at_ends == pytest.approx(1 / 6, abs=0.04)
        inner = [t for t in places if 0 < t < 1]
        assert np.mean(inner) == pytest.approx(0.5, abs=0.03)


def test_draws_depend_on_the_seed_alone() -> None:
    amortization = Amortization(SPAN, make_map("linear"))
    walks = [[amortization.draw(step, seed)[0] for step in range(5)] for seed in (0, 0, 1)]
    assert walks[0] == walks[1]
    inside = [{value for value in walk if SPAN.low < value < SPAN.high} for walk in walks]
    assert not inside[0] & inside[2]


@pytest.mark.parametrize("axes", [2, 3])
def test_steps_cover_a_box_evenly(axes) -> None:
    """Every half, quarter, eighth of it is as often seen as any other, in any stretch of steps."""
    others = tuple(LogInterval(1.0, 2.0, name) for name in ("a", "b")[: axes - 1])
    amortization = Amortization(SPAN, make_map("linear"), others)
    for first in (0, 10_000):
        walk = [amortization.normalised(*amortization.draw(first + s, 3)) for s in range(512)]
        upper = np.array(walk) > 0.5
        cells = np.bincount(upper @ 2 ** np.arange(axes), minlength=2**axes) / 512
        assert np.abs(cells - 0.5**axes).max() < 0.02  # of independent draws the deviation is .019


def test_the_range_is_the_one_that_was_written() -> None:
    """Single precision turns 0.1 into 0.10000000149; the range does not."""
    for uniform in (
        bn.LogUniform(0.1, 30),
        bn.LogUniform(torch.tensor(0.1, dtype=torch.float64), 30.0),
    ):
        amortization = make_amortization(uniform, None)
        assert amortization is not None
        assert (amortization.span.low, amortization.span.high) == (0.1, 30.0)


# Gradients and equality with the constant parametrisation ---------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kl_weight", [0.1, 2.0, 100.0])
def test_gradients_of_the_bound_match_finite_differences(net, xy, kind, kl_weight) -> None:
    """By numbers of every leaf of the map, in double precision."""
    model = copy.deepcopy(net).double()
    x, y = xy[0].double(), xy[1]
    step = small_step(model, settings_of(KINDS[kind]))
    generator = torch.Generator().manual_seed(0)
    for leaf in step.trained.leaves:
        leaf.data += 0.05 * torch.randn(leaf.shape, generator=generator, dtype=torch.float64)
    use = step.trained.use(kl_weight)

    def loss() -> float:
        step.trained.write(kl_weight)
        with torch.no_grad(), pyro_session(RandomStream(7, x.device)):
            return -float(bound_terms(model, x, y).bound(kl_weight)) / 27

    with pyro_session(RandomStream(7, x.device)):
        step.eager(x, y, lambda_(kl_weight), use)
    for leaf, gradient, moves in zip(use.leaves, use.gradients, use.moves, strict=True):
        assert moves or not gradient.any()
        for index in torch.randint(len(leaf), (12,), generator=generator).tolist():
            before = leaf.data[index].item()
            leaf.data[index] = before + 1e-6
            above = loss()
            leaf.data[index] = before - 1e-6
            slope = (above - loss()) / 2e-6
            leaf.data[index] = before
            assert float(gradient[index]) == pytest.approx(slope, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_over_a_box_match_finite_differences(net, xy, kind) -> None:
    """By numbers of every leaf, in double precision, at a λ and a prior scale between knots."""
    model = copy.deepcopy(net).double()
    x, y = xy[0].double(), xy[1]
    ranges = {"prior_scale": bn.LogUniform(0.1, 3.0)}
    amortize = lines_of_two if kind == "own" else KINDS[kind]
    settings = settings_of(amortize, metaparameters=ranges, known=("prior_scale",))
    step, at = small_step(model, settings), {"prior_scale": 0.7}
    generator = torch.Generator().manual_seed(0)
    for leaf in step.trained.leaves:
        leaf.data += 0.05 * torch.randn(leaf.shape, generator=generator, dtype=torch.float64)
    use = step.trained.use(2.0, at)

    def loss() -> float:
        step.eager.write(2.0, at)
        with torch.no_grad(), pyro_session(RandomStream(7, x.device)):
            return -float(bound_terms(model, x, y).bound(2.0)) / 27

    with pyro_session(RandomStream(7, x.device)):
        step.eager(x, y, StepKLWeight(2.0, 2.0, at), use)
    for leaf, gradient in zip(use.leaves, use.gradients, strict=True):
        for index in torch.randint(len(leaf), (6,), generator=generator).tolist():
            before = leaf.data[index].item()
            leaf.data[index] = before + 1e-6
            above = loss()
            leaf.data[index] = before - 1e-6
            slope = (above - loss()) / 2e-6
            leaf.data[index] = before
            assert float(gradient[index]) == pytest.approx(slope, rel=1e-4, abs=1e-7)


@pytest.mark.slow_except("trace-piecewise", "trace-own", "False-low-rank", "False-linear")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compile", [False, "trace"])
def test_every_kind_takes_the_first_step_of_the_constant_parametrisation(
    net, xy, kind, compile
) -> None:
    """Same terms of the bound, and the same gradient by θ(λ), in the middle of the range."""
    constant = small_step(copy.deepcopy(net), settings_of(None, compile=compile))
    other = small_step(copy.deepcopy(net), settings_of(KINDS[kind], compile=compile))
    before = copy.deepcopy(other.trained.groups[0].net)  # a step moves its leaves
    rows = []
    for step in (constant, other):
        with pyro_session(RandomStream(0, torch.device("cpu"))):
            rows.append(step(*xy, lambda_(MIDDLE), 1.0))
    assert torch.allclose(rows[0], rows[1], rtol=1e-6)
    expected = constant.trained.use(MIDDLE).gradients[0]
    use = other.trained.use(MIDDLE)
    if kind in ("linear", "piecewise"):
        gradient = sum(use.gradients)  # weights of the knots add up to 1
    elif kind == "curvature":
        expected = torch.cat(before.pull_back(use.places[0], expected))
        gradient = torch.cat(use.gradients)
    else:
        gradient = use.gradients[0][: len(expected)]  # by what a change of all θ(t) alike changes
    assert torch.allclose(gradient, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["linear", "piecewise"])
@pytest.mark.parametrize("kl_weight", [SPAN.low, SPAN.high])
@pytest.mark.parametrize("compile", [False, "trace"])
def test_at_a_knot_training_is_that_of_the_constant_parametrisation(
    net, xy, kind, kl_weight, compile
) -> None:
    """Five steps of Adam at one λ move the knot there exactly as they move constants."""
    models = [copy.deepcopy(net) for _ in range(2)]
    taken = [
        small_step(models[0], settings_of(None, compile=compile)),
        small_step(models[1], settings_of(KINDS[kind], compile=compile)),
    ]
    for step in taken:
        with pyro_session(RandomStream(0, torch.device("cpu"))):
            for _ in range(5):
                step(*xy, lambda_(kl_weight), 1.0)
    taken[1].trained.write(kl_weight)
    for (name, value), other in zip(
        models[0].named_parameters(), models[1].parameters(), strict=True
    ):
        assert torch.allclose(value, other, rtol=1e-5, atol=1e-7), name


@pytest.mark.parametrize("kind", KINDS)
def test_recorded_steps_equal_eager_ones(net, xy, kind) -> None:
    step = small_step(copy.deepcopy(net), settings_of(KINDS[kind], compile="trace"))
    with pyro_session(RandomStream(0, torch.device("cpu"))):
        for kl_weight in (0.1, 0.7, 23.0, 100.0):
            assert step.traced.difference(*xy, kl_weight) < 1e-6


@pytest.mark.parametrize(
    ("kind", "optimizer"),
    [
        ("piecewise", torch.optim.Adam),
        ("piecewise", torch.optim.SGD),
        ("low-rank", torch.optim.SGD),
        ("curvature", torch.optim.Adam),
    ],
)
def test_a_recorded_fit_follows_the_eager_one(net, xy, kind, optimizer) -> None:
    posts = [
        bn.fit(
            net, xy, kl_weight=bn.LogUniform(0.1, 10), amortize=KINDS[kind], steps=30, lr=0.01,
            batch_size=10, optimizer=optimizer, compile=compile,
        ).at(0.7)
        for compile in (False, "trace")
    ]  # fmt: skip
    for name, value in posts[0].model.state_dict().items():
        assert torch.allclose(value, posts[1].model.state_dict()[name], rtol=1e-3, atol=1e-4)


# Warm-up ----------------------------------------------------------------------------------


def test_warm_up_raises_the_kl_weight_linearly(net, xy) -> None:
    post = bn.fit(net, xy, kl_weight=2.0, kl_warmup=0.5, steps=20, batch_size=27)
    weights = post.history()["kl_weight"].values[0]
    assert np.allclose(weights, np.minimum(np.arange(20) / 10, 1.0) * 2.0)
    plain = bn.fit(net, xy, kl_weight=2.0, steps=20, batch_size=27)
    assert post.run.settings == dataclasses.replace(plain.settings, kl_warmup=0.5)


# Bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"amortize": "piecewise"}, "amortize needs a range of KL weights"),
        ({"kl_weight": bn.LogUniform(torch.ones(2), 3.0)}, "kl_weight must be one range"),
        ({"kl_weight": bn.LogUniform(1, 2), "amortize": "cubic"}, "amortize must be one of"),
        (
            {"kl_weight": bn.LogUniform(1, 2), "amortize": bn.nn.PiecewiseMap(knots=(1, 5))},
            "kl_weight must be in the fitted range",
        ),
        ({"kl_warmup": -0.1}, "kl_warmup must be a fraction"),
        ({"kl_warmup": 1.5}, "kl_warmup must be a fraction"),
        ({"kl_warmup": True}, "kl_warmup must be a fraction"),
    ],
)
def test_bad_options_are_refused(refused, options, message) -> None:
    refused(ValueError, message, **options)
