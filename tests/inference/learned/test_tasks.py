"""Families of tasks: their losses are those of torch and of fits, their draws follow the seed."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import bayesnas as bn
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.inference.learned.tasks.bounds import Bounds
from bayesnas.inference.learned.tasks.perceptrons import Perceptrons
from bayesnas.inference.learned.tasks.quadratics import Quadratics


@pytest.fixture(scope="module")
def digits():
    return bn.data.load("digits")


def families(digits):
    model = bn.models.GaussianNet(bn.nn.mlp([64, 3, 10]))
    return {
        "quadratics": Quadratics(3),
        "perceptrons": Perceptrons(digits.train, hidden=(3,), batch_size=4),
        "bounds": Bounds(model, digits.train, bn.LogUniform(0.1, 10.0), batch_size=4),
    }


@pytest.mark.parametrize("name", ["quadratics", "perceptrons", "bounds"])
def test_draws_follow_the_seed_and_batches_the_step(digits, name):
    family = families(digits)[name]
    first, again, other = family.draw(2, 3), family.draw(2, 3), family.draw(2, 4)
    assert torch.equal(first.start, again.start)
    assert not torch.equal(first.start, other.start)
    assert not torch.equal(first.start[0], first.start[1])
    loss = first.losses(first.start, 7)
    assert torch.equal(loss, again.losses(first.start, 7))
    if name != "quadratics":  # whose loss is the same at every step
        assert not torch.equal(loss, first.losses(first.start, 8))
    moved = first.start.clone()
    moved[1] += 1.0  # a task's loss depends on its own parameters alone
    assert torch.allclose(first.losses(moved, 7)[0], loss[0])
    assert not torch.allclose(first.losses(moved, 7)[1], loss[1])


def test_a_perceptron_is_that_of_torch(digits):
    family = Perceptrons(
        digits.train, hidden=(5, 4), activation="sigmoid", batch_size=len(digits.train)
    )
    start, losses = family.draw(1, seed=0)
    net = nn.Sequential(
        nn.Linear(64, 5), nn.Sigmoid(), nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 10)
    )
    nn.utils.vector_to_parameters(start[0], net.parameters())
    # Rows are drawn with replacement: the mean over as many as there are, of losses up to some 4.
    expected = F.cross_entropy(net(digits.train.x), digits.train.y, reduction="none")
    error = expected.std() / len(expected) ** 0.5
    assert abs(losses(start, 0)[0] - expected.mean()) < 5.5 * error


@pytest.mark.parametrize("kl_weight", [0.0, 1.0, 5.0])
def test_a_bound_is_that_of_the_model(kl_weight):
    # With guides of almost no width the draw does not matter, and a batch is one row, repeated.
    x = torch.linspace(-1, 1, 3).repeat(6, 1)
    y = torch.full((6,), 0.7)
    model = bn.models.GaussianNet(bn.nn.mlp([3, 2, 1]), likelihood="gaussian", noise_scale=0.5)
    family = Bounds(model, (x, y), kl_weight, batch_size=2)
    start, losses = family.draw(1, seed=0)
    narrow = copy.deepcopy(model)
    names = [name for name, _ in narrow.named_parameters()]
    nn.utils.vector_to_parameters(start[0], narrow.parameters())
    for name, value in narrow.named_parameters():
        if "scale" in name:
            value.data.fill_(-16.0)
    assert any("scale" in name for name in names)
    theta = nn.utils.parameters_to_vector(narrow.parameters()).detach()
    expected = -bound_terms(narrow, x, y).bound(kl_weight).detach() / 6
    torch.testing.assert_close(losses(theta[None], 0)[0], expected, rtol=1e-3, atol=1e-3)


def test_gradients_of_a_bound_are_those_of_its_loss(digits):
    model = bn.models.GaussianNet(bn.nn.mlp([64, 10]))
    start, losses = Bounds(model, digits.train, batch_size=8).draw(2, seed=0)
    start = start.double().requires_grad_()

    def loss(theta):
        return losses(theta.float(), 0).sum().double()

    (slope,) = torch.autograd.grad(loss(start), start)
    direction = torch.randn_like(start)
    with torch.no_grad():
        ends = loss(start + 1e-2 * direction), loss(start - 1e-2 * direction)
    along = float((slope * direction).sum())
    assert along == pytest.approx(float(ends[0] - ends[1]) / 2e-2, rel=2e-2, abs=0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: Quadratics(0), "dim must be a whole number >= 1"),
        (lambda d: Perceptrons(bn.data.from_arrays(d.train.x, d.train.x[:, 0]).train), "classes"),
        (lambda d: Perceptrons(d.train, batch_size=0), "batch_size must"),
        (lambda d: Bounds(nn.Linear(64, 10), d.train), "model must be one of bayesnas.models"),
        (lambda d: Bounds(bn.models.GaussianNet(bn.nn.mlp([64, 10])), d.train, -1.0), "kl_weight"),
        (lambda d: Bounds(bn.models.GaussianNet(bn.nn.mlp([9, 10])), d.train), "64"),
        (lambda d: Bounds(bn.models.GaussianNet(Looks()), d.train), "can be traced"),
    ],
)
def test_what_families_refuse(digits, make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make(digits)


class Looks(nn.Module):
    """A net that decides by values."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        outputs = self.linear(x)
        return outputs if float(outputs.detach().sum()) > 1e9 else -outputs
