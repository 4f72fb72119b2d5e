"""Warnings: each where its cause is there, and only there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import bayesnas as bn
from bayesnas.inference.training.convergence import unconverged, why_untold
from bayesnas.report.page.checks import FitChecks
from bayesnas.report.page.remarks import measured_lines, remarks_on

# Three bins of a calibrated model.
CALIBRATED = np.array([[0.4, 0.7, 0.95], [0.4, 0.7, 0.95], [0.2, 0.3, 0.5]])
FINE = FitChecks(
    part="test",
    examples=1000,
    kl_weight=1.0,
    kl_weight_range=None,
    pareto_k=0.4,
    pareto_draws=1000,
    no_pareto_k="",
    rising=None,
    no_rising="",
    coverage=0.9,
    calibration=CALIBRATED,
    parameters=100,
    kept=60,
    superfluous=0,
)


def names(**changes):
    return [remark.name for remark in remarks_on(dataclasses.replace(FINE, **changes))]


def moved(by):
    return CALIBRATED + np.array([[0.0], [by], [0.0]])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"rising": "not converged: 9 % of it; give more steps"}, ["not converged"]),
        ({"pareto_k": 0.66}, []),  # min(1 - 1/log10(1000), 0.7) = 0.667
        ({"pareto_k": 0.68}, ["Pareto k̂ too high"]),
        ({"pareto_k": 0.55, "pareto_draws": 100}, ["Pareto k̂ too high"]),
        ({"pareto_k": None, "no_pareto_k": "not measured"}, []),
        ({"part": "validation"}, []),
        ({"part": "train"}, ["judged on training data"]),
        ({"coverage": 0.873}, []),  # three errors of 1,000 examples are 0.0285
        ({"coverage": 0.870}, ["intervals too narrow"]),
        ({"coverage": 0.870, "examples": 100}, []),
        ({"coverage": 0.930}, ["intervals too wide"]),
        ({"calibration": moved(-0.06)}, ["overconfident"]),
        ({"calibration": moved(0.06)}, ["underconfident"]),
        ({"calibration": moved(0.06), "examples": 50}, []),
        ({"calibration": moved(0.019), "examples": 10**6}, []),
        ({"kl_weight_range": (0.1, 10.0)}, []),
        ({"kl_weight_range": (1.0, 10.0)}, ["edge of the range"]),
        ({"kl_weight_range": (0.1, 1.0)}, ["edge of the range"]),
        ({"kl_weight": 0.0, "kl_weight_range": (0.0, 1.0)}, []),
        ({"kept": 100}, ["nothing removed"]),
        ({"parameters": 0, "kept": 0}, []),
        ({"kept": 0}, ["nothing left"]),
        ({"parameters": 0, "kept": 0, "latents": (8, 0)}, ["nothing left"]),
        ({"parameters": 0, "kept": 0, "latents": (8, 5)}, []),
        ({"parameters": 0, "kept": 0, "latents": (8, 8)}, ["nothing removed"]),
    ],
)
def test_a_warning_has_its_cause(changes, expected):
    assert names(**changes) == expected


def test_the_gravest_comes_first_and_each_says_what_to_do():
    bad = dataclasses.replace(
        FINE, rising="not converged: 9 %; give more steps", pareto_k=2.0, kept=100, coverage=0.5
    )
    remarks = remarks_on(bad)
    assert [remark.name for remark in remarks] == [
        "not converged", "Pareto k̂ too high", "intervals too narrow", "nothing removed",
    ]  # fmt: skip
    assert all(remark.advice.endswith(".") for remark in remarks)
    assert "Give more steps" in remarks[0].advice
    assert "λ" in remarks_on(dataclasses.replace(bad, kl_weight=0.1))[2].advice


def test_chance_alone_is_no_miscalibration():
    """What a calibrated model shows in a simulation lies at the mean that is given."""
    generator = np.random.default_rng(0)
    confidence, _, share = CALIBRATED
    counts = (share * 200).astype(int)
    errors = [
        (share * np.abs(generator.binomial(counts, confidence) / counts - confidence)).sum()
        for _ in range(20_000)
    ]
    line = measured_lines(dataclasses.replace(FINE, examples=200))[-1]
    mean, deviation = (float(word) for word in line.split("show ")[1].split(" ± "))
    assert np.mean(errors) == pytest.approx(mean, abs=2e-3)
    assert np.std(errors) == pytest.approx(deviation, abs=2e-3)


def test_what_was_not_measured_is_said():
    lines = measured_lines(
        dataclasses.replace(FINE, pareto_k=None, no_pareto_k="not here", no_rising="few steps")
    )
    assert lines[:2] == [
        "Pareto k̂ of the guide: not here",
        "Convergence: not looked at, few steps",
    ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"steps": 250}, ""),
        ({"steps": 50}, "fewer than 200 steps"),
        ({"steps": 250, "kl_warmup": 0.7}, "λ rose for too many of the steps"),
        ({"steps": 250, "kl_weight": bn.LogUniform(0.5, 2)}, ""),
        ({"steps": 250, "kl_weight": bn.LogUniform(1e-3, 1e3)}, "too few steps for 6 decades of λ"),
    ],
)
def test_it_is_said_why_convergence_was_not_looked_at(options, reason):
    x = torch.linspace(-1, 1, 20)[:, None]
    post = bn.fit(bn.models.ArdRegression(1), (x, x[:, 0]), progress=False, **options)
    records, settings = post.records(), post.settings
    assert why_untold(records, settings) == reason
    if reason:
        assert unconverged(records, settings) is None
