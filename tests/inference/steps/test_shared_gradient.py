"""The sum of the gradients of two processes, which are threads here."""

from __future__ import annotations

import threading

import pytest
import torch

import bayesnas as bn
from bayesnas.inference.config.amortization import make_amortization
from bayesnas.inference.optim.trainable_parameters import TrainableParameters, trainable
from bayesnas.inference.steps.shared_gradient import SharedGradient, used_by_any
from bayesnas.runtime.processes.group import Processes
from bayesnas.runtime.processes.share import Share


class Threads(Processes):
    """A process whose sums are made with those of another thread."""

    def __init__(self, rank, tensors, barrier):
        super().__init__(Share(rank, 2), group=True)
        self._tensors, self._barrier = tensors, barrier

    def add(self, tensor):
        self._tensors[self.rank] = tensor.clone()
        self._barrier.wait(10)
        tensor.copy_(self._tensors[0] + self._tensors[1])
        self._barrier.wait(10)


def summed(gradients, weights, *, clip=None, amortization=None, uses=(None, None)):
    """The gradients of both processes after the call."""
    tensors, barrier, got = [None, None], threading.Barrier(2), [None, None]
    nets = [bn.models.GaussianNet(bn.nn.mlp([3, 2])) for _ in range(2)]
    trained = [TrainableParameters(trainable(net), amortization) for net in nets]

    def run(rank):
        processes = Threads(rank, tensors, barrier)
        total = SharedGradient(trained[rank], processes, clip)
        total.clear()
        place = uses[rank] or [1.0]
        use = trained[rank].use(place[rank % len(place)])
        for gradient, value in zip(use.gradients, gradients[rank], strict=False):
            gradient.fill_(value)
        both = [trained[rank].use(kl_weight) for kl_weight in place]
        total.add(weights[rank], used_by_any(both, use) if len(both) > 1 else use)
        got[rank] = [gradient.clone() for gradient in trained[rank].gradients]

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def test_a_weighted_sum_that_all_have():
    for gradients in summed([[2.0], [4.0]], [0.25, 0.75]):
        assert all(torch.all(gradient == 3.5) for gradient in gradients)


def test_the_sum_is_clipped_and_not_its_parts():
    for gradients in summed([[8.0], [-6.0]], [0.5, 0.5], clip=2.0):
        assert all(torch.all(gradient == 1.0) for gradient in gradients)


def test_a_row_of_another_process_counts_nothing():
    for gradients in summed([[float("nan")], [3.0]], [0.0, 1.0]):
        assert all(torch.all(gradient == 3.0) for gradient in gradients)


def test_leaves_that_one_process_alone_uses():
    """At the two ends of λ of a piecewise map, which has a knot at either."""
    amortization = make_amortization(bn.LogUniform(0.1, 10.0), "piecewise")
    ends = [0.1, 10.0]
    got = summed([[2.0, 0.0], [0.0, 4.0]], [0.5, 0.5], amortization=amortization, uses=[ends, ends])
    for gradients in got:
        values = {float(value) for gradient in gradients for value in gradient.unique()}
        assert values == {0.0, 1.0, 2.0}


def test_parameters_and_gradients_stay_views_of_what_is_summed():
    net = bn.models.GaussianNet(bn.nn.mlp([3, 2]))
    trained = TrainableParameters(trainable(net), None)
    before = {name: value.clone() for name, value in net.named_parameters()}
    total = SharedGradient(trained, Processes(Share(0, 1)), None)
    for name, value in net.named_parameters():
        assert torch.equal(value, before[name])
        value.grad.fill_(2.0)
    total.add(0.5, trained.use(1.0))
    assert all(torch.all(value.grad == 1.0) for value in net.parameters())


@pytest.mark.parametrize("seed", [0, 1])
def test_every_process_is_at_a_stratum_of_its_own(seed):
    """log λ of K processes lie 1/K of the range apart, and each walks over all of it."""
    amortization = make_amortization(bn.LogUniform(0.1, 10.0), "linear")

    def place(step, rank):
        return amortization.normalised(amortization.draw(step, seed, (rank, 4))[0])[0]

    places = torch.tensor([[place(step, rank) for rank in range(4)] for step in range(400)])
    places = places.double()
    inner = (places + 0.1) / 1.2  # but for what is cut off at the ends
    gaps = inner.sort(1).values.diff(dim=1)
    assert torch.allclose(gaps[:, 1], torch.full((400,), 0.25).double(), atol=1e-6)
    assert bool((gaps < 0.25 + 1e-6).all())
    assert torch.allclose(places.mean(0), torch.full((4,), 0.5).double(), atol=0.02)
    alone = [amortization.draw(step, seed)[0] for step in range(20)]
    assert alone == [amortization.draw(step, seed, (0, 4))[0] for step in range(20)]
