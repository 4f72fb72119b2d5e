"""Moves between steps: kept where the bound rises, undone to the bit where it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.inference.training.chains.moves import moves_due, try_moves
from bayesnas.models.base import BayesianModel


class Mean(BayesianModel):
    """y ~ N(w, 1), w ~ N(0, 1), q(w) = N(loc, scale), scale small; and moves of loc."""

    def __init__(self, *places: float) -> None:
        super().__init__()
        self.places = places
        self.loc, self.log_scale = (nn.Parameter(torch.tensor(v)) for v in (0.0, -3.0))
        self.tried: list[float] = []

    def model(self, x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(torch.zeros(()), 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(w.expand(len(x)), 1.0), obs=y)

    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        pyro.sample("w", dist.Normal(self.loc, self.log_scale.exp()))

    def moves(self, x: Tensor) -> Iterator[Callable[[], None]]:
        for place in self.places:
            self.tried.append(float(self.loc))
            yield lambda place=place: self.loc.data.fill_(place)  # type: ignore[misc]


def data() -> tuple[Tensor, Tensor]:
    return torch.zeros(100, 1), torch.full((100,), 2.0)


def test_moves_that_raise_the_bound_are_kept_one_by_one() -> None:
    """The mode of the posterior is at 200 / 101: nearer is better, 1e30 has no bound."""
    model, (x, y) = Mean(-1.0, 1.0, 0.5, 3.5, 2.0, 1e30, 1.0), data()
    state = torch.get_rng_state()
    made = try_moves(model, x, y, 1.0, most=10, size=100, seed=0)
    assert made == 2
    assert model.tried == [0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.0]
    assert float(model.loc.detach()) == 2.0
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training


def test_the_bound_is_weighted_as_in_the_fit() -> None:
    """At λ = 1e4 the prior wins: 100 · (2 − w)² / 2 against 1e4 · w² / 2."""
    x, y = data()
    for kl_weight, expected in ((1.0, 1.0), (1e4, 0.0)):
        model = Mean(1.0)
        try_moves(model, x, y, kl_weight, most=1, size=100, seed=0)
        assert float(model.loc.detach()) == expected


def test_no_more_moves_than_allowed() -> None:
    model, (x, y) = Mean(0.5, 1.0, 1.5), data()
    assert try_moves(model, x, y, 1.0, most=2, size=100, seed=0) == 2
    assert float(model.loc.detach()) == 1.0


@pytest.mark.parametrize("steps", [50, 333, 1000])
def test_moves_are_due_at_five_moments_of_the_second_half(steps: int) -> None:
    due = [step for step in range(steps) if moves_due(step, steps)]
    assert due == [-(-k * steps // 10) for k in range(5, 10)]
    assert not any(moves_due(step, 49) for step in range(49))


@pytest.mark.parametrize("compile", [False, "trace"])
def test_a_fit_makes_the_moves_of_its_model(compile: str | bool) -> None:
    """Steps this small would never get there."""
    settings = {"steps": 100, "lr": 1e-6, "device": "cpu", "progress": False, "compile": compile}
    post = bn.fit(Mean(2.0), data(), **settings)  # type: ignore[call-overload]
    assert float(post.model.loc.detach()) == pytest.approx(2.0, abs=1e-3)
    amortised = bn.fit(Mean(2.0), data(), kl_weight=bn.LogUniform(0.5, 2.0), **settings)  # type: ignore[call-overload]
    assert float(amortised.at(1.0).model.loc.detach()) == pytest.approx(0.0, abs=1e-3)
