"""The trial of the modes of a step: what it settles on, and that the fit does not depend on it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from torch import Tensor

import bayesnas as bn
from bayesnas.inference.compile.trace import StepGraph
from bayesnas.inference.steps import step as step_module
from bayesnas.inference.steps.mode_trial import ModeTrial
from bayesnas.models.base import BayesianModel


def settled(
    steps: int,
    seconds: dict[str, float],
    set_up: dict[str, float],
    *,
    impossible: str = "",
    can_compile: bool = True,
) -> tuple[str, list[str]]:
    """The mode that is settled on, and those tried, where steps take so many seconds."""
    trial, tried = ModeTrial(steps, lambda: can_compile), list[str]()
    while not trial.settled:
        first = trial.mode not in tried
        if first:
            tried.append(trial.mode)
        time = set_up[trial.mode] if first else seconds[trial.mode]
        trial.note(time, possible=trial.mode != impossible)
    return trial.mode, tried


SET_UP = {"eager": 0.01, "trace": 0.4, "inductor": 6.0}
ALL = ["eager", "trace", "inductor"]


@pytest.mark.parametrize(
    ("steps", "milliseconds", "mode", "tried"),
    [
        (10_000, (4, 3, 2), "inductor", ALL),  # 0.3 × 30 s against 15 × 0.4 s
        (5_000, (4, 3, 2), "trace", ["eager", "trace"]),
        (10_000, (4, 3, 6), "trace", ALL),  # inductor behind trace by a factor of two
        (10_000, (4, 5, 2), "inductor", ALL),
        (1_000, (4, 5, 2), "eager", ["eager", "trace"]),
        (10_000, (4, 5, 6), "eager", ALL),
    ],
)
def test_the_fastest_is_taken_where_setting_it_up_pays(
    steps: int, milliseconds: tuple[float, ...], mode: str, tried: list[str]
) -> None:
    seconds = dict(zip(ALL, (1e-3 * time for time in milliseconds), strict=True))
    assert settled(steps, seconds, SET_UP) == (mode, tried)


def test_without_a_compiler_nothing_is_compiled() -> None:
    seconds = {"eager": 4.0, "trace": 3.0}
    assert settled(10_000, seconds, SET_UP, can_compile=False) == ("trace", ["eager", "trace"])


@pytest.mark.parametrize(("impossible", "mode"), [("trace", "eager"), ("inductor", "trace")])
def test_a_mode_that_is_not_possible_is_passed_over(impossible: str, mode: str) -> None:
    seconds = {"eager": 4.0, "trace": 3.0, "inductor": 2.0}
    assert settled(10_000, seconds, SET_UP, impossible=impossible)[0] == mode


def test_one_disturbed_step_changes_nothing() -> None:
    trial = ModeTrial(1_000, lambda: False)
    for seconds in [0.1, 2.0, 2.0, 90.0, 2.0, 2.0, 0.1, 1.0, 50.0, 1.0, 1.0, 1.0]:
        trial.note(seconds)
    assert (trial.mode, trial.settled) == ("trace", True)


# A fit ------------------------------------------------------------------------------------


class Clock:
    """By this clock every step takes less time than the one before."""

    def __init__(self) -> None:
        self.now, self.readings = 0.0, 0

    def __call__(self) -> float:
        self.readings += 1
        self.now += 1 / self.readings
        return self.now


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[ModeTrial]:
    """The trials of fits, by another clock than the machine's; nothing can be compiled."""
    made: list[ModeTrial] = []

    def make(steps: int, _: object) -> ModeTrial:
        made.append(ModeTrial(steps, lambda: True, Clock()))
        return made[-1]

    def compile(self: StepGraph, inputs: object) -> None:
        raise RuntimeError("no room for it")

    monkeypatch.setattr(step_module, "ModeTrial", make)
    monkeypatch.setattr(StepGraph, "compile", compile)
    return made


def data() -> tuple[Tensor, Tensor]:
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    return x, x[:, :3].argmax(1)


class StoppedError(Exception):
    """Ends a long fit."""


def losses_of(model: BayesianModel, stop: tuple[int, int], **options: object) -> list[float]:
    """Losses of a fit up to a step of a chain; two of three batches are full ones."""
    losses: list[float] = []

    def look(event: bn.inference.StepEvent) -> None:
        losses.append(event.loss)
        if (event.chain, event.step) == stop:
            raise StoppedError

    chosen = {"steps": 1_000, "batch_size": 20, "lr": 0.02, "seed": 1, "device": "cpu"} | options
    with pytest.raises(StoppedError):
        bn.fit(model, data(), progress=False, on_step=look, **chosen)  # type: ignore[arg-type]
    return losses


def net() -> BayesianModel:
    return bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale="learned")


def test_a_fit_does_not_depend_on_its_trial(
    trials: list[ModeTrial], caplog: pytest.LogCaptureFixture
) -> None:
    """Its steps are those of the fit, eager or traced; what can't be compiled stays traced."""
    with caplog.at_level(logging.INFO, logger="bayesnas"):
        tried = losses_of(net(), (0, 25))
    (trial,) = trials
    assert (trial.mode, trial.settled) == ("trace", True)
    assert "steps are not compiled: it can't be traced (RuntimeError: no room" in caplog.text
    assert "steps are taken in mode trace: fastest of 5, on the processor: eager" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
    assert np.allclose(tried, losses_of(net(), (0, 25), compile=False), rtol=1e-5)


def test_the_mode_is_in_the_checkpoint(
    trials: list[ModeTrial], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A fit that is resumed takes the steps of the one that went on, without another trial."""
    whole = losses_of(net(), (0, 45))
    losses_of(net(), (0, 33), out=tmp_path, checkpoint_every=10)
    with caplog.at_level(logging.INFO, logger="bayesnas"):
        resumed = losses_of(net(), (0, 45), out=tmp_path, checkpoint_every=10, resume=True)
    assert resumed == whole[30:]
    assert "steps are taken in mode" not in caplog.text


def test_later_chains_take_the_mode_of_the_first(trials: list[ModeTrial]) -> None:
    """Two chains of 500 steps, one after the other."""
    losses_of(net(), (1, 2), steps=500, batch_size=50, restarts=2)
    assert [trial.mode for trial in trials] == ["trace"]


def test_an_elbo_of_pyros_is_settled_on_eager_steps(
    trials: list[ModeTrial], caplog: pytest.LogCaptureFixture
) -> None:
    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Categorical(logits=w * x[:, :3]), obs=y)

    def guide(x: Tensor, y: Tensor | None = None) -> None:
        pyro.sample("w", dist.Normal(pyro.param("loc", torch.tensor(0.0)), 0.3))

    pair = bn.models.PyroPair(model, guide, elbo=Trace_ELBO())
    with caplog.at_level(logging.WARNING, logger="bayesnas"):
        losses_of(pair, (0, 20))
    assert [(trial.mode, trial.settled) for trial in trials] == [("eager", True)]
    assert len(caplog.records) == 1


def test_short_fits_and_bilevel_ones_have_no_trial(trials: list[ModeTrial]) -> None:
    losses_of(net(), (0, 3), steps=999)
    losses_of(net(), (0, 3), validation=data(), bilevel=bn.Bilevel())
    assert not trials
