"""Minibatches: every example once an epoch, in an order that only the seed decides."""

from __future__ import annotations

import pytest
import torch

import bayesnas as bn
from bayesnas.inference.steps.minibatches import Batches
from bayesnas.inference.steps.streamed_batches import batches_of
from bayesnas.runtime.processes.share import Share

SIZES = [(10, 2), (10, 3), (7, 6), (7, 7), (7, 100), (5, 1), (1, 1)]


def batches(n, size, seed=0):
    return Batches(torch.arange(n)[:, None].float(), torch.arange(n), size, seed)


@pytest.mark.parametrize(("n", "size"), SIZES)
def test_every_example_once_an_epoch(n, size):
    source = batches(n, size)
    for epoch in range(4):
        steps = range(epoch * source.per_epoch, (epoch + 1) * source.per_epoch)
        shown = [source.at(step) for step in steps]
        assert all(torch.equal(x[:, 0], y.float()) for x, y in shown)
        assert sorted(torch.cat([y for _, y in shown]).tolist()) == list(range(n))
        assert [len(y) for _, y in shown[:-1]] == [size] * (source.per_epoch - 1)
        assert 0 < len(shown[-1][1]) <= size


def test_order_is_that_of_seed_and_epoch():
    first, second, other = batches(50, 8, 3), batches(50, 8, 3), batches(50, 8, 4)
    steps = range(5 * first.per_epoch)
    in_order = {step: first.at(step)[1].tolist() for step in steps}
    backwards = {step: second.at(step)[1].tolist() for step in reversed(steps)}
    assert backwards == in_order  # one can start in the middle
    epochs = [str([in_order[7 * epoch + position] for position in range(7)]) for epoch in range(5)]
    assert len(set(epochs)) == 5
    assert [other.at(step)[1].tolist() for step in steps] != list(in_order.values())


def test_all_examples_at_once_keep_their_order():
    assert batches(9, 9).at(5)[1].tolist() == list(range(9))


def test_every_position_of_an_epoch_is_as_likely():
    """200 epochs of 5 examples: each is first about 40 times (5.7 is a standard deviation)."""
    source = batches(5, 1)
    first = torch.stack([source.at(5 * epoch)[1][0] for epoch in range(200)]).bincount(minlength=5)
    assert bool(((first - 40).abs() < 32).all())


# Scaling the bound of a minibatch --------------------------------------------------------------


def certain_net(likelihood, widths):
    """A net whose posterior is all but a point, so that the bound of a batch has no noise."""
    return bn.models.GaussianNet(bn.nn.mlp(widths), likelihood=likelihood, initial_scale=1e-7)


def without_learning(model, data, **options):
    """History of a fit that leaves its parameters where they are."""
    return bn.fit(model, data, lr=1e-30, optimizer=torch.optim.SGD, **options)


@pytest.mark.parametrize("size", [1, 3, 9, 27])
@pytest.mark.parametrize("likelihood", ["categorical", "gaussian"])
def test_minibatch_bound_averages_to_that_of_the_sample(xy, size, likelihood):
    x, y = xy
    model = certain_net(likelihood, [4, 5, 3 if likelihood == "categorical" else 1])
    data = (x, y if likelihood == "categorical" else x.sum(1))
    post = without_learning(model, data, batch_size=size, epochs=2, kl_weight=0.7)
    whole = post.evaluate(data, draws=0)
    history = post.history().isel(chain=0)
    for epoch in range(2):
        steps = history.isel(step=slice(epoch * 27 // size, (epoch + 1) * 27 // size))
        assert float(steps.expected_log_lik.mean()) == pytest.approx(
            whole["expected_log_lik"], rel=1e-4
        )
        assert float(-steps.loss.mean()) == pytest.approx(whole["elbo"], rel=1e-4)
    assert history.kl.values == pytest.approx(whole["kl"], rel=1e-4)  # never scaled


def test_ragged_minibatches_are_unbiased(xy):
    """27 rows by 10: the last seven count more, but they are other ones in every epoch."""
    post = without_learning(certain_net("categorical", [4, 3]), xy, batch_size=10, epochs=150)
    exact = post.evaluate(xy, draws=0)["expected_log_lik"]
    values = post.history().expected_log_lik.values[0]
    error = values.std() / len(values) ** 0.5
    assert abs(values.mean() - exact) < 5.5 * error
    assert error < 0.02 * abs(exact)


class Passes:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __iter__(self):
        return iter(zip(self.x, self.y, strict=True))


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("batch_size", [4, 11, 100])
@pytest.mark.parametrize("kind", ["memory", "stream", "iterable"])
def test_shares_of_processes_are_the_batch(kind, batch_size, size):
    """In the order of its rows, also of the last batch of an epoch."""
    x, y = torch.arange(22.0).view(11, 2), torch.arange(11) % 3
    sample = {
        "memory": bn.data.Split.of((x, y)),
        "stream": bn.data.from_dataset((x, y)),
        "iterable": bn.data.from_dataset(Passes(x, y), n=11, classes=3),
    }[kind]
    whole = batches_of(sample, batch_size, 5)
    shares = [Share(rank, size) for rank in range(size)]
    parts = [batches_of(sample, batch_size, 5, share) for share in shares]
    for step in range(2 * whole.per_epoch):
        x_whole, y_whole = whole.at(step)
        assert whole.rows_at(step) == len(y_whole)
        counted = [
            part.at(step)
            for part, share in zip(parts, shares, strict=True)
            if share.weight(len(y_whole))
        ]
        assert torch.equal(torch.cat([x for x, _ in counted]), x_whole)
        assert torch.equal(torch.cat([y for _, y in counted]), y_whole)
