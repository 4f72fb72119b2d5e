"""The Gibbs sampler of latent features against enumeration, the prior, and known glyphs."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import special, stats

from bayesnas.data.sources.glyphs import glyph_images, glyphs
from bayesnas.distributions import IndianBuffet, left_ordered
from bayesnas.inference.mcmc import latent_feature_sampler as module
from bayesnas.inference.mcmc.latent_feature_chains import sample_latent_features
from bayesnas.inference.mcmc.latent_feature_evidence import Doubles, Prediction, log_evidence
from bayesnas.inference.mcmc.latent_feature_sampler import LatentFeatureSampler, LatentFeatureState
from bayesnas.inference.mcmc.split_merge import split_or_merge


def images(n: int = 100, seed: int = 0) -> tuple[Doubles, Doubles]:
    x, z = glyph_images(n, seed=seed)
    return x.double().numpy(), z.double().numpy()


def matched(features: Doubles) -> Doubles:
    """For every glyph the largest correlation with a feature found."""
    correlation = np.corrcoef(np.vstack([glyphs().numpy(), features]))[:4, 4:]
    return correlation.max(1)


# Densities --------------------------------------------------------------------------------


def test_the_evidence_is_a_gaussian_of_every_column() -> None:
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((5, 3)), (rng.random((5, 2)) < 0.5).astype(float)
    covariance = 0.7**2 * z @ z.T + 0.4**2 * np.eye(5)
    exact = stats.multivariate_normal(np.zeros(5), covariance).logpdf(x.T).sum()
    assert log_evidence(x, z, 0.4, 0.7) == pytest.approx(exact, rel=1e-10)


def test_the_prediction_is_a_ratio_of_evidences() -> None:
    """Up to a constant, for shared features and for new ones."""
    rng = np.random.default_rng(0)
    x, rest = rng.standard_normal((5, 3)), (rng.random((5, 2)) < 0.5).astype(float)
    rest[2] = 0
    view = Prediction(rest, x, 2, 0.4, 0.7)
    predicted, exact = [], []
    for row, new in itertools.product([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 3]):
        z = rest.copy()
        z[2] = row
        alone = np.zeros((5, new))
        alone[2] = 1
        exact.append(log_evidence(x, np.hstack([z, alone]), 0.4, 0.7))
        predicted.append(float(view.log_density(np.array(row), new)))
    assert np.allclose(np.diff(predicted), np.diff(exact))


# The posterior ----------------------------------------------------------------------------


def exact_posterior(x: Doubles, mass: float, beta: float, most: int) -> dict[bytes, float]:
    """By left-ordered form of three rows, of all with up to ``most`` columns."""
    columns = [np.array(c, float) for c in itertools.product([0, 1], repeat=3) if any(c)]
    buffet = IndianBuffet(mass, beta, 3)
    logs = {}
    for count in range(most + 1):
        for chosen in itertools.combinations_with_replacement(range(7), count):
            z = np.array([columns[i] for i in chosen]).T.reshape(3, count)
            prior = float(buffet.log_prob(torch.from_numpy(z)))
            logs[form(z)] = prior + log_evidence(x, z, 0.5, 1.0)
    total = np.logaddexp.reduce(list(logs.values()))
    return {key: math.exp(value - total) for key, value in logs.items()}


def form(z: Doubles) -> bytes:
    return left_ordered(torch.from_numpy(z)).numpy().astype(np.int8).tobytes()


def distance(first: dict[bytes, float], second: dict[bytes, float]) -> float:
    """Total variation."""
    keys = first.keys() | second.keys()
    return 0.5 * sum(abs(first.get(key, 0.0) - second.get(key, 0.0)) for key in keys)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("beta", "splits"),
    [
        pytest.param(1.0, 4, marks=pytest.mark.slow),
        pytest.param(0.5, 0, marks=pytest.mark.slow),
        (2.0, 2),
    ],
)
def test_the_posterior_equals_enumeration(
    beta: float, splits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all left-ordered forms of three examples, with and without splits and merges."""
    monkeypatch.setattr(module, "_SPLITS", splits)
    x = np.array([[1.0, 0.2], [0.9, -1.1], [0.1, -1.0]])
    exact = exact_posterior(x, 0.8, beta, most=6)
    sampler = LatentFeatureSampler(
        x, mass=0.8, concentration=beta, noise_scale=0.5, feature_scale=1.0,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    state, sweeps = sampler.start(), 3000
    visits: Counter[bytes] = Counter()
    for _ in range(sweeps):
        state = sampler.sweep(state)
        visits[form(state.z)] += 1
    frequencies = {key: count / sweeps for key, count in visits.items()}
    # As far as independent draws would be, with room for what consecutive ones have in common.
    rng = np.random.default_rng(0)
    keys, p = list(exact), np.array(list(exact.values()))
    drawn = [rng.multinomial(sweeps // 4, p / p.sum()) / (sweeps // 4) for _ in range(20)]
    typical = max(distance(exact, dict(zip(keys, d, strict=True))) for d in drawn)
    assert distance(exact, frequencies) < typical
    assert distance(exact, exact_posterior(x, 1.3, beta, most=6)) > typical  # it could fail


def exact_counts(x: Doubles, mass: float, beta: float, noise: float, most: int) -> Doubles:
    """P(K = 0 … most | X) with σ_A = 1, up to a remainder of 1e-4 of the mean of K.

    The numbers of equal columns are independent Poisson variables. Beyond ``most`` columns the
    mean evidence falls, so they have at most the prior odds to the last.
    """
    columns = np.array([c for c in itertools.product([0.0, 1.0], repeat=len(x)) if any(c)])
    sizes = columns.sum(1)
    rates = mass * beta * np.exp(special.betaln(sizes, len(x) - sizes + beta))
    outer = np.einsum("hi,hj->hij", columns, columns).reshape(len(columns), -1)
    logs = []
    for count in range(most + 1):
        chosen = itertools.combinations_with_replacement(range(len(columns)), count)
        n = np.array([np.bincount(np.array(c, int), minlength=len(columns)) for c in chosen])
        covariance = (n @ outer).reshape(-1, len(x), len(x)) + noise**2 * np.eye(len(x))
        factor = np.linalg.cholesky(covariance)
        whitened = np.linalg.solve(factor, np.broadcast_to(x, (len(n), *x.shape)))
        log_det = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1)
        log_lik = -0.5 * (whitened**2).sum((1, 2)) - x.shape[1] * log_det
        log_prior = (n * np.log(rates) - special.gammaln(n + 1)).sum(1)
        logs.append(special.logsumexp(log_lik + log_prior))
    prior = stats.poisson(rates.sum())
    p: Doubles = special.softmax(logs)
    evidences = p / prior.pmf(np.arange(most + 1))
    assert (np.diff(evidences[-3:]) < 0).all()
    beyond = np.arange(most + 1, most + 60)
    assert evidences[-1] * (prior.pmf(beyond) * beyond).sum() < 1e-4 * p @ np.arange(most + 1)
    return p


@pytest.mark.slow_except("shape0-9-2.88")
@pytest.mark.parametrize(("shape", "most", "wrong"), [((3, 6), 9, 2.88), ((4, 6), 8, 4.0)])
def test_the_mean_number_of_features_equals_enumeration(
    shape: tuple[int, int], most: int, wrong: float
) -> None:
    """Also where a shared feature is drawn although the example's own would explain it.

    Drawn as if there were none of its own, the mean is the ``wrong`` one.
    """
    x = np.random.default_rng(0).standard_normal(shape)
    exact = float(exact_counts(x, 1.0, 1.6, 0.3, most) @ np.arange(most + 1))
    sampler = LatentFeatureSampler(
        x, mass=1.0, concentration=1.6, noise_scale=0.3, feature_scale=1.0,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    state, counts = sampler.start(), []
    for _ in range(50 + 900):
        state = sampler.sweep(state)
        counts.append(state.z.shape[1])
    batches = np.array(counts[50:]).reshape(30, -1).mean(1)
    error = float(batches.std(ddof=1)) / 30**0.5
    assert abs(batches.mean() - exact) < 7.5 * error  # of Student's t with 29 degrees: 3e-8
    assert 7.5 * error < abs(wrong - exact)


@pytest.mark.slow
@pytest.mark.parametrize(
    "parts",
    [
        [[1, 0], [0, 1], [0, 1]],
        pytest.param([[1, 0], [1, 1], [0, 1]], marks=pytest.mark.slow),
        # beside another feature
        pytest.param([[1, 0, 0], [0, 1, 1], [0, 1, 0]], marks=pytest.mark.slow),
        [[1, 0, 1], [0, 1, 0], [0, 1, 0]],  # which equals a part
    ],
)
def test_splits_and_merges_are_in_detailed_balance(parts: list[list[int]]) -> None:
    """As many transitions from the union to the parts as back, at the posterior of both."""
    x = np.array([[1.0, 0.2], [0.9, -0.2], [0.4, -0.5]])
    split = np.array(parts, float)
    merged = np.column_stack([split[:, :2].max(1), split[:, 2:]])
    rng, tries = np.random.default_rng(0), 2500
    buffet = IndianBuffet(0.8, 1.5, 3)
    flows, errors = [], []
    for start, end in ((merged, split), (split, merged)):
        hits = sum(
            form(split_or_merge(x, start, 0.5, 1.0, 0.8, 1.5, rng)) == form(end)
            for _ in range(tries)
        )
        log_p = float(buffet.log_prob(torch.from_numpy(start))) + log_evidence(x, start, 0.5, 1.0)
        assert hits > 30
        flows.append(log_p + math.log(hits / tries))
        errors.append((1 / hits - 1 / tries) ** 0.5)
    assert abs(flows[0] - flows[1]) < 5.5 * math.hypot(*errors)


def statistics(state: LatentFeatureState, x: Doubles) -> list[float]:
    return [
        state.z.shape[1],
        state.z.sum(),
        (state.z.sum(0) == 1).sum(),
        1 / state.noise_scale**2,
        1 / state.feature_scale**2,
        state.mass,
        math.log((x**2).sum()),
    ]


@pytest.mark.slow
def test_successive_conditionals_agree_with_the_prior() -> None:
    """Geweke (2004): the sampler and draws of x in turn leave the joint prior as it is."""
    rng, shape = np.random.default_rng(0), (4, 2)
    prior, successive = [], []

    def data(state: LatentFeatureState) -> Doubles:
        a = state.feature_scale * rng.standard_normal((state.z.shape[1], shape[1]))
        return state.z @ a + state.noise_scale * rng.standard_normal(shape)

    def sampler(x: Doubles) -> LatentFeatureSampler:
        return LatentFeatureSampler(x, mass=None, concentration=1.5, rng=rng)

    for _ in range(1500):
        state = sampler(np.zeros(shape)).draw_prior()
        prior.append(statistics(state, data(state)))
    for _ in range(1500):
        for _ in range(2):
            state = sampler(data(state)).sweep(state)
        successive.append(statistics(state, data(state)))
    first, second = np.array(prior), np.array(successive)
    batches = second.reshape(25, 60, -1).mean(1)  # consecutive draws have much in common
    error = np.sqrt(first.var(0) / len(first) + batches.var(0, ddof=1) / 25)
    score = (first.mean(0) - second.mean(0)) / error
    assert np.abs(score).max() < 4, score


# Glyphs -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_finds_the_four_glyphs() -> None:
    x, z = images()
    posterior = sample_latent_features(
        x, draws=20, warmup=40, chains=3, noise_scale=0.5, feature_scale=1.0
    )
    best = int(posterior.log_joint.mean(1).argmax())
    counts, times = np.unique(posterior.counts[best], return_counts=True)
    assert counts[times.argmax()] == 4
    state, features = posterior.best()
    assert state.z.shape == (100, 4)
    assert features.shape == (4, 36)
    assert (matched(features) > 0.9).all()
    agreement = np.corrcoef(np.hstack([z, state.z]).T)[:4, 4:].max(1)
    assert (agreement > 0.8).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_it_finds_the_glyphs_and_the_noise(seed: int) -> None:
    """With scales and mass sampled too, in other images."""
    x, _ = images(seed=seed)
    posterior = sample_latent_features(x, draws=50, warmup=100, chains=4, mass=None, seed=seed)
    state, features = posterior.best()
    assert (matched(features) > 0.9).all()
    used = state.z.mean(0) > 0.1
    assert used.sum() == 4
    assert state.noise_scale == pytest.approx(0.5, rel=0.05)


# Use --------------------------------------------------------------------------------------


def test_draws_go_to_arviz(tmp_path) -> None:
    import xarray as xr

    x = images(12)[0]
    sampled = sample_latent_features(x, draws=6, warmup=2, chains=3, seed=4)
    tree = sampled.to_arviz()
    tree.to_netcdf(tmp_path / "draws.nc")
    with xr.open_datatree(tmp_path / "draws.nc") as read:
        posterior = read["posterior"].to_dataset()
        assert posterior["features"].dims == ("chain", "draw")
        assert posterior["z"].dims == ("chain", "draw", "example", "feature")
        assert posterior["A"].dims == ("chain", "draw", "feature", "value")
        assert dict(posterior["features"].sizes) == {"chain": 3, "draw": 6}
        assert (posterior["z"].any("example").sum("feature") == posterior["features"]).all()
        assert np.allclose(read["sample_stats"]["lp"], sampled.log_joint)
        assert np.array_equal(read["observed_data"]["x"], x)
    again = sample_latent_features(x, draws=6, warmup=2, chains=1, seed=4)
    assert np.array_equal(again.log_joint[0], sampled.log_joint[0])


def test_an_example_that_nothing_explains_gets_features_of_its_own() -> None:
    x = np.zeros((6, 20))
    x[3] = 8.0
    sampler = LatentFeatureSampler(
        x, noise_scale=0.3, feature_scale=5.0, rng=np.random.default_rng(0)
    )
    state = replace(sampler.start(), z=np.zeros((6, 0)))
    for _ in range(5):
        state = sampler.sweep(state)
    assert state.z[3].sum() >= 1
    assert state.z[[0, 1, 2, 4, 5]].sum() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mass": 0.0}, "mass must be a finite number > 0, got 0.0"),
        ({"concentration": -1.0}, "concentration must be a finite number > 0, got -1.0"),
        ({"noise_scale": 0.0}, "noise_scale must be a finite number > 0"),
        ({"feature_scale": math.inf}, "feature_scale must be a finite number > 0"),
        ({"x": np.zeros(3)}, r"x must have shape \[N, D\], got \[3\]"),
        ({"x": np.full((3, 2), np.nan)}, "x must hold finite numbers"),
        ({"draws": 0}, "draws must be a whole number >= 1"),
        ({"chains": 0}, "chains must be a whole number >= 1"),
        ({"warmup": -1}, "warmup must be a whole number from 0"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample_latent_features(**{"x": np.zeros((3, 2)), **arguments})  # type: ignore[arg-type]
