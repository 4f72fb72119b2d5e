"""Metrics against scikit-learn, brute force and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch import Tensor

import bayesnas as bn
from bayesnas.inference.evaluation.calibration import calibration_error, reliability


def classes_data(n: int = 60) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
    return x, x[:, :3].argmax(1)


@pytest.fixture(scope="module")
def post() -> bn.Posterior:
    model = bn.models.GaussianNet(bn.nn.mlp([4, 8, 3]), prior_scale=0.5)
    return bn.fit(model, classes_data(), kl_weight=0.3, steps=200, lr=0.02, progress=False)


def test_metrics_are_those_of_the_mean_of_predicted_probabilities(post: bn.Posterior) -> None:
    x, y = classes_data()
    metrics = post.evaluate((x, y), draws=20, seed=4)
    probabilities = post.predict(x, draws=20, seed=4).double().mean(0).numpy()
    probabilities /= probabilities.sum(1, keepdims=True)  # float32 rounding
    assert metrics["accuracy"] == pytest.approx(accuracy_score(y.numpy(), probabilities.argmax(1)))
    assert metrics["nll"] == pytest.approx(
        log_loss(y.numpy(), probabilities, labels=[0, 1, 2]), rel=1e-5
    )


@pytest.mark.slow
def test_the_bound_is_recomputed_by_hand_from_the_saved_means_and_scales(
    post: bn.Posterior,
) -> None:
    """E_q log p − λ KL with plain tensors: no Pyro, no code of ours but the parameters."""
    x, y = classes_data()
    q = post.model.weight_posteriors()
    generator = torch.Generator().manual_seed(1)
    log_lik = []
    for _ in range(1500):
        w = {s: m + d * torch.randn(m.shape, generator=generator) for s, (m, d) in q.items()}
        hidden = torch.relu(x @ w["layer1.weight"].T + w["layer1.bias"])
        logits = hidden @ w["layer2.weight"].T + w["layer2.bias"]
        log_lik.append(torch.log_softmax(logits, -1)[torch.arange(len(y)), y].sum().item())
    kl = sum(
        (math.log(0.5) - d.log() + (d**2 + m**2) / (2 * 0.25) - 0.5).sum().item()
        for m, d in q.values()
    )
    metrics = post.evaluate((x, y), draws=1500)
    error = np.std(log_lik) / math.sqrt(1500)
    assert metrics["kl"] == pytest.approx(kl, rel=1e-5)
    assert abs(metrics["expected_log_lik"] - np.mean(log_lik)) < 5 * math.sqrt(2) * error
    assert metrics["elbo"] == pytest.approx(metrics["expected_log_lik"] - 0.3 * metrics["kl"])
    assert metrics["elbo_error"] == pytest.approx(error, rel=0.2)


def test_posterior_means_alone(post: bn.Posterior) -> None:
    x, y = classes_data()
    logits = post.model.plain_module()(x)
    metrics = post.evaluate((x, y), draws=0)
    assert metrics["accuracy"] == pytest.approx((logits.argmax(1) == y).float().mean().item())
    expected = torch.nn.functional.cross_entropy(logits, y).item()
    assert metrics["nll"] == pytest.approx(expected, rel=1e-5)


def test_regression_reports_the_root_mean_squared_error() -> None:
    x, _ = classes_data()
    y = x.sum(1)
    model = bn.models.GaussianNet(bn.nn.mlp([4, 1]), likelihood="gaussian", noise_scale=0.5)
    post = bn.fit(model, (x, y), steps=100, lr=0.05, progress=False)
    mean = post.predict(x, draws=30, seed=2).mean(0)
    metrics = post.evaluate((x, y), draws=30, seed=2)
    assert metrics["rmse"] == pytest.approx((mean - y).square().mean().sqrt().item(), rel=1e-5)
    assert "accuracy" not in metrics


def test_calibration_error_by_hand() -> None:
    """Four answers at .9, three right, and one at .6, wrong: ¾·|.75−.9|… weighted by share."""
    probabilities = torch.tensor([[0.9, 0.1]] * 4 + [[0.6, 0.4]])
    y = torch.tensor([0, 0, 0, 1, 1])
    expected = 4 / 5 * abs(3 / 4 - 0.9) + 1 / 5 * abs(0 - 0.6)
    assert calibration_error(probabilities, y) == pytest.approx(expected, rel=1e-5)
    assert calibration_error(probabilities[:, 1], y) == pytest.approx(expected, rel=1e-5)


def test_a_calibrated_forecaster_has_no_calibration_error() -> None:
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(200_000, generator=generator)
    y = (torch.rand(200_000, generator=generator) < p).long()
    assert calibration_error(p, y) < 0.01
    _, _, share = reliability(p, y)
    assert share.sum().item() == pytest.approx(1.0)


def test_the_wrong_number_of_draws_is_named(post: bn.Posterior) -> None:
    with pytest.raises(ValueError, match="draws must be a whole number >= 0, got -1"):
        post.evaluate(classes_data(), draws=-1)
    with pytest.raises(ValueError, match="draws must be a whole number >= 1, got 0"):
        post.predict(classes_data()[0], draws=0)


def test_a_column_of_targets_is_a_vector() -> None:
    x, _ = classes_data()
    y = x.sum(1)
    model = bn.models.GaussianNet(bn.nn.mlp([4, 1]), likelihood="gaussian", noise_scale=0.5)
    column = bn.fit(model, (x, y[:, None]), steps=5, progress=False)
    vector = bn.fit(model, (x, y), steps=5, progress=False)
    assert column.evaluate((x, y[:, None])) == vector.evaluate((x, y))


def test_inputs_are_tensors_or_arrays_and_all_else_is_named(post: bn.Posterior) -> None:
    x = classes_data()[0]
    assert post.predict(x.numpy(), draws=2).equal(post.predict(x, draws=2))
    with pytest.raises(ValueError, match="x must hold real numbers, got an array of <U2"):
        post.predict(x.numpy().astype("<U2"))
