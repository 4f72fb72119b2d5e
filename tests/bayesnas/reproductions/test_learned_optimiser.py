"""The reproduction of learned optimisers, at a tiny size."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import bayesnas as bn
from bayesnas.inference.learned.evaluation import loss_curves
from bayesnas.inference.learned.optimizer import LearnedOptimizer
from bayesnas.reproductions import Request, learned_optimiser
from bayesnas.reproductions.learned_optimiser import measure, paired, remarks
from bayesnas.reproductions.learned_optimiser.measure import LEARNED, TEACHER, Curve
from bayesnas.reproductions.learned_optimiser.settings import (
    HAND_MADE,
    Settings,
    falling,
    families,
    prepare,
)


def tiny(request):
    settings = Settings(
        "digits",
        request.seeds or 2,
        steps=4,
        unroll=2,
        rounds=(2, 0, 1, 1),
        updates=4,
        tasks=(6, 2, 2, 2),
        other_tasks=2,
        tuning_tasks=2,
        rates=3,
        unrolls=(1, 4),
        rate_rounds=2,
    )
    return settings, families(settings, bn.data.load("digits"), side=4)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished reproduction, its folder, and what was said."""
    out, said = tmp_path_factory.mktemp("reproduction"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learned_optimiser, "prepare", tiny)
        reproduced = learned_optimiser.run(Request(out, say=said.append))
    return reproduced, out, said


@pytest.mark.slow
def test_there_is_a_figure_for_every_optimiser_and_kind_of_task(done):
    reproduced, out, _ = done
    assert len(reproduced.comparisons) == 10 * 5 + 3 + 2 * 2  # of three kinds the teacher, too
    learned = [c for c in reproduced.comparisons if c.labels.get("optimiser") == LEARNED]
    assert {len(c.ours) for c in learned} == {2}
    with (out / "curves.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 10 * 6 * 5 + 3 * 5 + 6 * 4  # steps and one more; of one kind twice as many
    with Image.open(out / "curves.png") as picture:
        assert picture.width > 1000


@pytest.mark.slow
def test_figures_are_those_of_the_public_calls(done):
    reproduced, out, _ = done
    learned = LearnedOptimizer.load(out / "learned" / "quadratics-1.safetensors")
    settings, (quadratics, *_) = tiny(Request(out))
    tasks = quadratics.variants[0].tasks
    options = {"steps": settings.steps, "count": 6, "seed": 2002}
    figures = {
        (c.labels["tasks"], c.labels["optimiser"]): c.ours for c in reproduced.comparisons[:5]
    }
    expected = loss_curves(learned, tasks, **options)[-1].double().mean()
    assert figures[quadratics.title, LEARNED][0] == pytest.approx(float(expected), rel=1e-6)
    grid = settings.grid(quadratics, "SGD")
    tuned = {"steps": settings.steps, "count": 6, "seed": 1001}
    best = min(grid, key=lambda r: loss_curves(torch.optim.SGD, tasks, lr=r, **tuned)[-1].mean())
    expected = loss_curves(torch.optim.SGD, tasks, lr=best, **options)[-1].double().mean()
    assert figures[quadratics.title, "SGD"][0] == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.slow
def test_a_second_call_trains_nothing_and_another_size_is_refused(done, monkeypatch):
    reproduced, out, said = done
    monkeypatch.setattr(learned_optimiser, "prepare", tiny)
    monkeypatch.setattr(measure, "learn_optimizer", None)
    monkeypatch.setattr(measure, "loss_curves", None)
    again = learned_optimiser.run(Request(out, say=said.append))
    assert list(again.comparisons) == list(reproduced.comparisons)
    with pytest.raises(ValueError, match="seeds=2, got 3"):
        learned_optimiser.run(Request(out, seeds=3))


def curve(name, final, *, at_end=False):
    return Curve(name, 0, 0.1, at_end, [float(np.mean(final))] * 2, list(final))


def test_who_is_beaten_is_said():
    low, high = [0.1 + 0.01 * i for i in range(10)], [0.2 + 0.01 * i for i in range(10)]
    words = paired([curve("SGD", [9.0] * 10), curve("Adam", high), curve(LEARNED, low)])
    assert words == (
        "final loss over that of Adam, the best hand-made: 0.59 (p = 0.001)"  # 2^-10
    )
    words = paired([curve("Adam", low), curve(LEARNED, high)])
    assert words.endswith("1.69 (p = 1)")
    words = paired(
        [curve("NAG", low), curve("Adam", high), curve(TEACHER, low), curve(LEARNED, low)]
    )
    assert words == (
        "final loss over that of NAG, the best hand-made: 1.00 (p = 1); of Adam: 0.59 (p = 0.001); "
        "of the teacher: 1.00 (p = 1)"
    )


def test_a_best_rate_at_an_end_is_said(tmp_path):
    settings, every = tiny(Request(tmp_path))
    curves = [curve("SGD", [1.0, 2.0], at_end=True), curve(LEARNED, [1.0, 3.0])]
    reproduced = {f.key: {v.title: curves for v in f.variants} for f in every}
    words = remarks(reproduced, every, settings)
    assert "quadratics of 10 dimensions, as trained: SGD" in words[2]


@pytest.mark.slow
def test_a_teacher_is_the_best_at_a_falling_rate(done):
    _, out, _ = done
    settings, (_, whole, *_) = tiny(Request(out))
    tried = {}
    for name, optimizer in HAND_MADE.items():
        for rate in settings.grid(whole, name):
            options = {"lr": rate, "schedule": falling, "steps": 4, "count": 2, "seed": 1001}
            curves = loss_curves(optimizer, whole.variants[0].tuning, **options)
            tried[name, rate] = float(curves[-1].mean())
    _, rate = min(tried, key=tried.get)
    learned = LearnedOptimizer.load(out / "learned" / "whole-1.safetensors")
    assert learned.training["imitate"]["lr"] == rate
    assert learned.training["rounds"] == 0


def test_the_rate_of_a_teacher_falls_at_the_end():
    assert [falling(t / 10) for t in (0, 5, 6)] == [1.0, 1.0, 1.0]
    assert falling(0.8) == pytest.approx(0.5)
    assert falling(0.99) == pytest.approx(0.025)


def test_grids_go_down():
    settings, (quadratics, perceptron, *_) = tiny(Request(Path()))
    assert settings.grid(perceptron, "Adam") == [1.0, 0.5, 0.25]
    assert settings.grid(quadratics, "SGD")[:3] == [2.0**-5, 2.0**-5.5, 2.0**-6]


def test_a_quick_run_is_of_digits(tmp_path):
    settings, every = prepare(Request(tmp_path, quick=True))
    assert (settings.data, settings.seeds) == ("digits", 1)
    assert [family.key for family in every] == ["quadratics", "whole", "perceptron", "bound"]
    start, losses = every[2].variants[0].tasks.draw(1, seed=0)
    assert start.shape == (1, 16 * 20 + 20 + 20 * 10 + 10)
    assert losses(start, 0).shape == (1,)
