"""AIC, BIC and cross-validation against least squares; the six requirements by their values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import xarray as xr

import bayesnas as bn
from bayesnas.inference import criteria
from bayesnas.inference.criteria.requirements import _Path

NOISE = 0.3
OPTIONS = {"steps": 300, "lr": 0.1, "batch_size": 30, "progress": False}


def data(rows=30):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 2, generator=generator)
    return x, x[:, 0] + 0.5 + NOISE * torch.randn(rows, generator=generator)


def line(noise_scale=NOISE):
    net = torch.nn.Linear(2, 1)
    return bn.models.GaussianNet(net, likelihood="gaussian", noise_scale=noise_scale)


def squares(x, y):
    """Coefficients of least squares, in double precision."""
    design = torch.cat([x, torch.ones(len(x), 1)], 1).double()
    return design, torch.linalg.lstsq(design, y.double()[:, None]).solution[:, 0]


def log_density(residual):
    return (
        -0.5 * (residual / NOISE).square() - math.log(NOISE) - 0.5 * math.log(2 * math.pi)
    ).sum()


def test_aic_and_bic_of_least_squares():
    x, y = data()
    post = bn.fit(line(), (x, y), kl_weight=0.0, **OPTIONS)
    scores = criteria.information_criteria(post, (x, y))
    design, solution = squares(x, y)
    log_lik = log_density(y - design @ solution).item()
    assert scores.log_lik == pytest.approx(log_lik, abs=1e-3)
    assert scores.parameters == 3
    assert scores.aic == pytest.approx(6 - 2 * log_lik, abs=1e-2)
    assert scores.bic == pytest.approx(3 * math.log(30) - 2 * log_lik, abs=1e-2)


def test_learned_noise_and_removed_weights_are_counted():
    x, y = data()
    post = bn.fit(line(None), (x, y), kl_weight=0.0, **(OPTIONS | {"steps": 5}))
    assert criteria.information_criteria(post, (x, y)).parameters == 4
    smaller = post.prune(fraction=1 / 3)
    assert criteria.information_criteria(smaller, (x, y)).parameters == 3


def test_other_fits_have_no_maximum_likelihood():
    post = bn.fit(line(), data(), **(OPTIONS | {"steps": 2}))
    with pytest.raises(ValueError, match="kl_weight=0, got kl_weight=1"):
        criteria.information_criteria(post, data())


@pytest.mark.slow
def test_cross_validation_of_least_squares():
    x, y = data()
    validated = criteria.cross_validate(
        line(), (x, y), folds=3, kl_weight=0.0, draws=0, seed=4, **(OPTIONS | {"batch_size": 20})
    )
    expected = []
    for part in np.array_split(np.random.default_rng(4).permutation(30), 3):
        rest = np.setdiff1d(np.arange(30), part)
        _, solution = squares(x[rest], y[rest])
        design, _ = squares(x[part], y[part])
        expected.append(log_density(y[part] - design @ solution).item())
    assert validated.folds == pytest.approx(expected, abs=0.02)
    assert validated.elpd == pytest.approx(sum(validated.folds))
    assert validated.se == pytest.approx(np.std(validated.folds, ddof=1) * math.sqrt(3))


def test_cross_validation_refuses_by_name():
    for options in ({"folds": 1}, {"folds": 31}, {"draws": -1}, {"kl_weight": -1.0}, {"seed": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
            criteria.cross_validate(line(), data(), **options)
    with pytest.raises(ValueError, match="data: "):
        criteria.cross_validate(line(), (data()[0], data()[1][:3]))


def path(objective, kl_weights):
    """Fits whose KL is what makes a given objective of a likelihood of 0."""
    kl = -np.array([objective(each) for each in kl_weights]) / kl_weights
    nothing = np.zeros(len(kl_weights))
    return _Path(kl_weights, nothing, kl, kl, [xr.Dataset()], 10)


def test_a_step_is_told_from_a_curve():
    weights = np.geomspace(0.1, 10, 17)
    curve = path(lambda each: math.log(each) ** 2 + 3 * math.log(each), weights)
    step = path(lambda each: 5.0 * (each > 1.01) + 0.1 * math.log(each), weights)
    assert curve.jumps() == pytest.approx(0.5, abs=0.08)
    assert step.jumps() > 0.95
    assert curve.decades() == pytest.approx(2.0)
    holes = path(lambda each: math.nan if each > 1.01 else each, weights)
    assert holes.decades() == pytest.approx(1.0)


PATH = [0.01, 0.1, 1.0, 10.0, 100.0]


def fits(steps):
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    y = x[:, 0] + 0.3 * x[:, 1] + 0.5 * torch.randn(60, generator=torch.Generator().manual_seed(1))
    model = bn.models.SpikeAndSlabRegression(4, noise_scale=0.5, guide="mean-field")
    options = {"steps": steps, "lr": 0.1, "batch_size": 60, "progress": False}
    return bn.fit(model, (x, y), kl_weight=PATH, **options), PATH, (x, y)


@pytest.mark.slow
def test_each_requirement_has_its_value():
    posts, path, (x, y) = fits(steps=300)
    report = criteria.requirements(posts, path, (x, y), draws=100)
    assert list(report.index) == [
        "maximum likelihood", "complexity", "evidence", "structures", "continuity", "domain",
    ]  # fmt: skip
    small = posts.at(path[0]).evaluate((x, y), draws=100)
    assert report.loc["maximum likelihood", "value"] == pytest.approx(0.01 * small["kl"] / 60)
    assert report.loc["complexity", "value"] == pytest.approx(-1)
    exact = posts.at(1.0).evidence((x, y)).log_evidence
    bound = posts.at(1.0).evaluate((x, y), draws=100)
    gap = (exact - bound["elbo"]) / 60
    assert report.loc["evidence", "value"] == pytest.approx(gap)
    ends = [posts.at(each).structure() for each in (path[0], path[-1])]
    apart = min(criteria.structure_divergence(*ends), criteria.structure_divergence(*ends[::-1]))
    assert report.loc["structures", "value"] >= apart
    assert report.loc["domain", "value"] == pytest.approx(4.0)
    assert report["holds"].drop("continuity").all()


def test_what_can_not_be_measured_does_not_hold():
    x, y = data()
    posts = bn.fit(line(), (x, y), kl_weight=[2, 3, 4, 5, 6], steps=3, progress=False)
    report = criteria.requirements(posts, [2, 3, 4, 5, 6], (x, y), draws=4)
    for name in ("evidence", "structures"):
        assert math.isnan(report.loc[name, "value"])
        assert not report.loc[name, "holds"]


def test_requirements_refuse_by_name():
    posts, path, sample = fits(steps=2)
    for message, weights, options in (
        ("kl_weights must be at least 5 rising", path[:4], {}),
        ("kl_weights must be at least 5 rising", path[::-1], {}),
        ("kl_weights must be a finite number > 0", [0.0, *path[1:]], {}),
        ("must be one of those fitted", [*path[:4], 99.0], {}),
        ("tolerance must be", path, {"tolerance": 0.0}),
        ("least_divergence must be", path, {"least_divergence": -1.0}),
        ("draws must be", path, {"draws": 0}),
    ):
        with pytest.raises(ValueError, match=message):
            criteria.requirements(posts, weights, sample, **options)
