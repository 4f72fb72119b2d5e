"""Validation after every epoch, and the best epoch of a chain that stops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bayesnas as bn


@pytest.fixture
def deteriorating(xy):
    """Data of the opposite labels: the better the fit, the worse the validation."""
    x, y = xy
    return x, (y + 1) % 3


def test_validation_is_measured_after_every_epoch(net, xy):
    seen = []

    def hook(event):
        if event.step % 4 == 0:
            seen.append(event.model.training)

    post = bn.fit(net, xy, validation=xy, epochs=5, batch_size=8, lr=0.05, on_step=hook)
    (record,) = post.records()
    assert len(record.validation_nll) == 5
    assert all(seen)  # measuring leaves the model in training mode
    final = post.evaluate(xy, draws=500)["nll"]
    assert record.validation_nll[-1] == pytest.approx(final, abs=0.1)
    assert record.validation_nll[-1] < record.validation_nll[0]


def test_early_stopping_returns_the_best_epoch(net, xy, deteriorating):
    states = {}

    def hook(event):
        if event.step % 4 == 0:
            states[event.step // 4] = {
                name: value.detach().clone() for name, value in event.model.named_parameters()
            }

    options = {"epochs": 40, "batch_size": 8, "lr": 0.1, "patience": 3, "on_step": hook}
    post = bn.fit(net, xy, validation=deteriorating, **options)
    (record,) = post.records()
    best = int(np.argmin(record.validation_nll))
    assert len(record.validation_nll) == best + 1 + 3 < 40
    assert min(record.validation_nll[best + 1 :]) >= record.validation_nll[best]
    assert post.history().sizes["step"] == 4 * (best + 1 + 3)
    parameters = dict(post.model.named_parameters())
    assert all(torch.equal(parameters[name], value) for name, value in states[best + 1].items())
    assert any(not torch.equal(parameters[n], value) for n, value in states[best + 4].items())


def test_validation_alone_stops_nothing(net, xy, deteriorating, numbers):
    options = {"epochs": 6, "batch_size": 8, "lr": 0.1}
    post = bn.fit(net, xy, validation=deteriorating, **options)
    assert len(post.records()[0].validation_nll) == 6
    plain = bn.fit(net, xy, **options)
    assert all(
        torch.equal(a, b)
        for a, b in zip(post.model.parameters(), plain.model.parameters(), strict=True)
    )


def test_chains_that_stop_at_different_times(net, xy):
    """A third stop after the commonest number of epochs: all sixteen with probability 2e-8."""
    x, y = xy
    post = bn.fit(
        net, (x[:18], y[:18]), validation=(x[18:], y[18:]), epochs=30, batch_size=8, lr=0.3,
        patience=1, restarts=16,
    )  # fmt: skip
    lengths = [len(record.history) for record in post.records()]
    assert len(set(lengths)) > 1
    losses = post.history().loss.values
    assert losses.shape == (16, max(lengths))
    assert [int(np.isfinite(row).sum()) for row in losses] == lengths


def test_patience_outlasts_the_fit(net, xy):
    post = bn.fit(net, xy, validation=xy, epochs=4, batch_size=8, lr=0.01, patience=4)
    assert post.history().sizes["step"] == 16


@pytest.mark.slow_except("8-0.5-options0", "24-0.5-options1")
@pytest.mark.parametrize(
    ("batch_size", "warm_up", "options"),
    [
        (8, 0.5, {}),
        (24, 0.5, {"patience": 1}),
        (8, 0.3, {"restarts": 2, "batched": True}),
        (8, 0.47, {}),  # ends within an epoch
        (8, 0.5, {"kl_weight": [0.5, 2.0]}),
        (8, 0.5, {"kl_weight": bn.LogUniform(0.5, 2.0), "amortize": "linear"}),
    ],
)
def test_patience_begins_when_the_warm_up_has_ended(
    net, xy, deteriorating, batch_size, warm_up, options
):
    """Validation gets worse from the first epoch on, and still every chain reaches its weight."""
    options = {"patience": 2, **options}
    post = bn.fit(
        net, xy, validation=deteriorating, epochs=20, batch_size=batch_size, lr=0.1,
        kl_warmup=warm_up, **options,
    )  # fmt: skip
    fits = list(post) if isinstance(options.get("kl_weight"), list) else [post]
    per_epoch = -(-len(xy[0]) // batch_size)
    for fit in fits:
        for record in fit.records():
            assert len(record.history) > warm_up * 20 * per_epoch


def test_a_warm_up_of_all_steps_stops_nothing(net, xy, deteriorating):
    post = bn.fit(
        net, xy, validation=deteriorating, epochs=8, batch_size=8, patience=1, kl_warmup=1.0
    )
    (record,) = post.records()
    assert len(record.validation_nll) == 8
