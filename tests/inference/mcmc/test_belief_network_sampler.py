"""The sampler of belief networks against its prior, the exact chain of widths, and a known net."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from bayesnas.inference.mcmc.belief_network_chains import sample_belief_network
from bayesnas.inference.mcmc.belief_network_sampler import BeliefNetworkSampler
from bayesnas.inference.mcmc.birth_death import with_new_parent, without_unit
from bayesnas.inference.mcmc.conjugate_regression import Regression
from bayesnas.inference.mcmc.elliptical_slice import elliptical_slice
from bayesnas.models.nonparametric.belief_network import BeliefNetwork, Network


def batch_error(values):
    """Standard error of the mean of a chain, by 40 batch means.

    Student's t of 39 degrees is beyond 6.5 with a probability of 1e-7.
    """
    means = values[: len(values) // 40 * 40].reshape(40, -1, *values.shape[1:]).mean(1)
    return np.sqrt(means.var(0, ddof=1) / 40)


@pytest.mark.slow
def test_without_examples_it_draws_from_the_cascade():
    """Widths against the exact chain: nothing is learned, so the posterior is the prior."""
    model = BeliefNetwork(2, mass=0.8)
    rng = np.random.default_rng(0)
    sampler, network = BeliefNetworkSampler(model, rng), model.sample(0, rng)
    draws = []
    for _ in range(2000):
        network = sampler.sweep(network)
        w1, w2, w3, *_ = (*network.widths[1:], 0, 0, 0)
        draws.append([w1, w2, w3, w1 == 0, w2 == 0, w3 == 0, len(network.widths) - 1])
    values = np.array(draws, dtype=float)
    exact = np.concatenate([
        model.cascade.expected_widths(3)[1:], model.cascade.absorption(3)[1:],
        [model.cascade.expected_depth()],
    ])  # fmt: skip
    errors = batch_error(values)
    assert (errors < 0.06 * exact + 0.03).all()  # it mixes, and the next line can fail
    assert (np.abs(values.mean(0) - exact) < 6.5 * errors).all()


def summary(network: Network):
    """Bounded functions of structure, parameters, hidden and visible units, and of products."""
    below = network.layers[0]
    w1, w2, *_ = (*network.widths[1:], 0, 0)
    weights = below.weights[below.connections]
    hidden = network.layers[1] if w1 else None
    logits = np.zeros((1, 1)) if hidden is None else hidden.logits
    return [
        w1,
        w1 == 1,
        w2,
        len(network.widths) - 1,
        np.tanh(sum(layer.connections.sum() for layer in network.layers) / 3),
        np.tanh(np.abs(weights).sum()),
        np.tanh(below.bias).mean(),
        np.log(below.precision).mean(),
        0.0 if hidden is None else np.log(hidden.precision).mean(),
        np.tanh(logits).mean(),
        np.tanh(logits.std()),
        np.tanh(below.logits).mean(),
        np.tanh(below.logits.std()),
        np.tanh((below.logits[:, 0] * below.logits[:, 1]).mean()),
        np.tanh(logits[0].sum() * weights.sum() * below.logits[0].sum()),
    ]


@pytest.mark.slow
def test_joint_distribution():
    """Geweke (2004): sweeps and new visible units in turn leave the prior of both as it is."""
    model = BeliefNetwork(2, mass=0.7, visible_precision=(2.0, 1.0), hidden_precision=(2.0, 1.0))
    rng = np.random.default_rng(0)
    prior = np.array([summary(model.sample(3, rng)) for _ in range(2500)])
    sampler, network = BeliefNetworkSampler(model, rng), model.sample(3, rng)
    summaries = []
    for _ in range(2500):
        network = sampler.sweep(network)
        network = network.with_visible(model.sample_visible(network, rng))
        summaries.append(summary(network))
    chain = np.array(summaries)
    errors = np.sqrt(batch_error(chain) ** 2 + prior.var(0) / len(prior))
    assert (errors < 0.1).all()
    assert (np.abs(chain.mean(0) - prior.mean(0)) < 6.5 * errors).all()


def two_layers(seed, visible=10, hidden=3, n=100):
    """Visible units of a network with one hidden layer, values in (0, 1)."""
    rng = np.random.Generator(np.random.PCG64(seed))  # the same data in all runs
    connections = rng.random((visible, hidden)) < 0.2
    connections[np.arange(visible), np.arange(visible) % hidden] = True
    size = rng.choice([-1, 1], connections.shape) * rng.uniform(2, 4, connections.shape)
    units = special.expit(rng.normal(0, 2, (n, hidden)))
    logits = units @ (size * connections).T + rng.normal(0, 1, visible)
    return special.expit(logits + rng.normal(0, 0.3, (n, visible)))


def known_noise(visible):
    """The scale of noise and units roughly known: else a unit of its own passes for noise."""
    return BeliefNetwork(
        visible, concentration=0.5, weight_scale=3.0, bias_scale=1.0,
        visible_precision=(50.0, 5.0), hidden_precision=(4.0, 16.0),
    )  # fmt: skip


@pytest.mark.slow
def test_it_recovers_the_width_of_a_known_network():
    """The posterior mode of the width is that of the source in at least eight of ten seeds."""
    modes = []
    for seed in range(10):
        post = sample_belief_network(
            known_noise(10), two_layers(seed), draws=300, warmup=300, seed=seed, progress=False
        )
        modes.append(int(post.width_probabilities().argmax()))
    assert modes.count(3) >= 8, modes


@pytest.mark.slow
def test_it_recovers_the_width_of_a_small_network():
    """Of short chains one in ten stays at a width of 3; more than half of 20 then do by 1e-9."""
    x = two_layers(0, visible=6, hidden=2, n=60)
    modes = []
    for seed in range(20):
        post = sample_belief_network(
            known_noise(6), x, draws=150, warmup=100, seed=seed, progress=False
        )
        assert post.best().widths[1] in (2, 3)
        modes.append(int(post.width_probabilities().argmax()))
    assert modes.count(2) > 10, modes


def test_a_unit_is_born_with_what_is_above_it_and_dies_with_it():
    model = BeliefNetwork(4)
    rng = np.random.default_rng(0)
    network = model.sample(5, rng)
    deeper = 0
    for _ in range(50):
        born = with_new_parent(model, network, 0, 2, rng)
        assert np.isfinite(model.log_density(born))
        for below, above in zip(born.layers, (*born.layers[1:], None), strict=True):
            width = 0 if above is None else above.width
            assert below.connections.shape == below.weights.shape == (below.width, width)
            assert below.connections.any(0).all()
            assert (below.weights[~below.connections] == 0).all()
        new = born.widths[1] - 1
        assert np.flatnonzero(born.layers[0].connections[:, new]).tolist() == [2]
        deeper += sum(born.widths) > sum(network.widths) + 1
        again = without_unit(born, 1, new)
        assert again.widths == network.widths
        for one, other in zip(again.layers, network.layers, strict=True):
            assert np.array_equal(one.logits, other.logits)
            assert np.array_equal(one.weights, other.weights)
    assert deeper > 5


def test_the_evidence_is_that_of_the_joint_gaussian():
    rng = np.random.default_rng(0)
    x, y = rng.random((7, 4)), rng.normal(size=7)
    row = np.array([True, False, True, True])
    evidence = Regression(x, y, 3.0, 2.0, 0.5).evidence(row)
    used = x[:, row]
    covariance = 4.0 * used @ used.T + 0.25 + np.eye(7) / 3.0
    exact = stats.multivariate_normal(np.zeros(7), covariance).logpdf(y)
    assert evidence == pytest.approx(exact, rel=1e-10)
    nothing = Regression(x, y, 3.0, 2.0, 0.5).evidence(~np.ones(4, dtype=bool))
    exact = stats.multivariate_normal(np.zeros(7), 0.25 + np.eye(7) / 3.0).logpdf(y)
    assert nothing == pytest.approx(exact, rel=1e-10)


def test_draws_of_the_regression_have_its_moments():
    rng = np.random.default_rng(0)
    x, y = rng.random((9, 3)), rng.normal(size=9)
    row = np.array([True, False, True])
    regression = Regression(x, y, 4.0, 2.0, 0.5)
    draws = np.array([regression.draw(row, rng) for _ in range(20_000)])
    design = np.column_stack([np.ones(9), x[:, row]])
    covariance = np.linalg.inv(4.0 * design.T @ design + np.diag([4.0, 0.25, 0.25]))
    mean = covariance @ design.T @ y * 4.0
    assert np.allclose(draws.mean(0), mean, atol=0.03)
    assert np.allclose(np.cov(draws.T), covariance, atol=0.05)


def test_elliptical_slices_of_many_numbers():
    """A Gaussian likelihood, so the posterior is known.

    Of 24,000 steps the means have a standard error of 0.005 and the variances one of 1.5 %.
    """
    rng = np.random.default_rng(0)
    mean, seen = np.array([0.0, 1.0, -2.0]), np.array([1.0, 1.0, -1.0])
    value, draws = mean, []
    for _ in range(24_000):
        value = elliptical_slice(value, mean, 0.7, lambda v: -0.5 * ((v - seen) / 0.5) ** 2, rng)
        draws.append(value)
    precision = 1 / 0.49 + 4
    expected = (mean / 0.49 + 4 * seen) / precision
    assert np.allclose(np.mean(draws, 0), expected, atol=0.03)
    assert np.allclose(np.var(draws, 0), 1 / precision, rtol=0.1)


def test_draws_go_to_arviz(tmp_path):
    x = two_layers(0, visible=4, hidden=1, n=12)
    post = sample_belief_network(
        BeliefNetwork(4), x, draws=6, warmup=2, chains=2, seed=3, progress=False
    )
    tree = post.to_arviz()
    posterior = tree["posterior"]
    assert posterior["width"].dims == ("chain", "draw", "layer")
    assert posterior["precision"].sizes == {"chain": 2, "draw": 6, "unit": 4}
    assert np.array_equal(posterior["depth"], (posterior["width"] > 0).sum("layer"))
    network = post.draws[1][4]
    likelihood = tree["log_likelihood"]["y"].values[1, 4]
    expected = stats.norm.logpdf(
        special.logit(x), network.means(0), network.layers[0].precision ** -0.5
    ).sum(1)
    assert np.allclose(likelihood, expected)
    assert float(tree["sample_stats"]["lp"][1, 4]) == pytest.approx(post.model.log_density(network))
    tree.to_netcdf(tmp_path / "draws.nc", engine="h5netcdf")
    alone = sample_belief_network(
        BeliefNetwork(4), x, draws=6, warmup=2, chains=1, seed=3, progress=False
    )
    assert np.array_equal(alone.widths(2)[0], post.widths(2)[0])
    assert post.width_probabilities().sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.full((5, 3), 0.5)}, r"x must have shape \['n', 4\], got \[5, 3\]"),
        ({"x": np.zeros((5, 4))}, r"visible units must be in \(0, 1\), got values from 0 to 0"),
        ({"x": np.full((5, 4), np.nan)}, "visible units must be in"),
        ({"draws": 0}, "draws must be a whole number >= 1, got 0"),
        ({"chains": 0}, "chains must be"),
        ({"warmup": -1}, "warmup must be"),
    ],
)
def test_bad_input_is_named(arguments, message):
    given = {"x": np.full((5, 4), 0.5), **arguments}
    with pytest.raises(ValueError, match=message):
        sample_belief_network(BeliefNetwork(4), **given)
