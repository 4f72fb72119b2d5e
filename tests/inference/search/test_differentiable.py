"""The DARTS family: each a setting of one bilevel fit; random architectures; clipped SGD."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.inference import Unrolled
from bayesnas.inference.search import (
    ClippedSGD,
    classifier,
    darts,
    darts_cc,
    gumbel_darts,
)

OPTIONS = {"progress": False, "device": "cpu", "compile": False}


def mixed(*without: str) -> bn.nn.Graph:
    """For data that lie in a ring: a line does not do, a curve does and has 8 parameters more."""
    torch.manual_seed(0)
    curved = nn.Sequential(nn.Linear(2, 8), nn.Tanh())
    options = {"line": nn.Linear(2, 8, bias=False), "curve": curved, "nothing": Nothing()}
    kept = {name: module for name, module in options.items() if name not in without}
    edges = {("x", "h"): kept, ("h", "y"): nn.Linear(8, 2)}
    return bn.nn.Graph(edges, example=torch.zeros(1, 2))


class Nothing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(x), 8)


def halves(n: int = 128) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    x = torch.randn(2 * n, 2, generator=torch.Generator().manual_seed(0))
    y = (x.square().sum(1) > 1.4).long()
    return (x[:n], y[:n]), (x[n:], y[n:])


def chosen(model: bn.models.LatentStructureNet) -> str:
    names = model.graph.names["x", "h"]
    return names[int(model.probabilities()["x", "h"].argmax())]


@pytest.mark.parametrize("kind", ["greedy", "unrolled"])
def test_darts_of_both_orders_finds_the_operation_that_fits(kind: str):
    """On many data: where weights overfit, α shrinks what they add: nothing is preferred."""
    post = darts(
        mixed("line"), *halves(2000), hypergradient=kind, steps=150, lr=0.2, structure_lr=0.1,
        start=0.2, **OPTIONS,
    )  # fmt: skip
    assert chosen(post.model) == "curve"
    assert post.settings.bilevel["hypergradient"]["kind"] == kind
    assert "momentum=0.9" in post.settings.optimizer


def test_darts_has_a_point_for_its_structure_and_no_divergence():
    post = darts(mixed(), *halves(), steps=2, **OPTIONS)
    assert post.kl_weight == 0.0
    gamma = post.sample(3)["gamma"]
    expected = post.model.probabilities()["x", "h"]
    assert torch.allclose(gamma, expected.expand_as(gamma))


def test_gumbel_softmax_darts_draws_its_structure_and_cools_down():
    post = gumbel_darts(
        mixed(), *halves(), steps=300, lr=0.2, structure_lr=0.1, start=0.2, **OPTIONS
    )
    assert chosen(post.model) == "curve"
    assert float(post.model.get_buffer("temperature")) == pytest.approx(0.2, abs=0.01)


@pytest.mark.slow
def test_one_search_along_the_cost_goes_from_what_fits_to_what_is_cheap():
    train, held_out = halves()
    post = darts_cc(
        mixed(), train, held_out, low=1e-5, high=1.0, steps=400, lr=0.2, structure_lr=0.1,
        start=0.2, **OPTIONS,
    )  # fmt: skip
    n = len(held_out[0])
    assert chosen(post.at(1e-5 * n).model) == "curve"
    assert chosen(post.at(1.0 * n).model) == "nothing"
    weights = [
        {k: v for k, v in post.at(w * n).model.named_parameters() if "x->h" in k}
        for w in (1e-5, 1.0)
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.slow
def test_a_monotone_search_goes_the_same_way_and_never_back():
    """Sizes never rise along λ̃; of any two operations the costlier falls behind."""
    train, held_out = halves()
    post = darts_cc(
        mixed(), train, held_out, low=1e-5, high=1.0, knots=3, monotone=True, steps=400, lr=0.2,
        structure_lr=0.1, start=0.2, **OPTIONS,
    )  # fmt: skip
    n = len(held_out[0])
    places = [10.0**power for power in (-5, -4, -3, -2, -1, 0)]
    models = [post.at(weight * n).model for weight in places]
    assert (chosen(models[0]), chosen(models[-1])) == ("curve", "nothing")
    sizes = [model.architecture().parameter_count for model in models]
    assert sizes == sorted(sizes, reverse=True)
    alphas = torch.stack([model.structural["gamma.logits"].detach()[0] for model in models])
    by_cost = alphas[:, [2, 0, 1]]  # nothing, line, curve
    assert (by_cost.diff(dim=1).diff(dim=0) < 0).all()


def test_a_traced_monotone_search_follows_the_eager_one(caplog):
    """In double precision: Adam makes whole steps of gradients that are all rounding."""
    train, held_out = [(x.double(), y) for x, y in halves()]
    states = [
        darts_cc(
            mixed().double(), train, held_out, low=1e-3, high=1.0, knots=3, monotone=True,
            steps=30, lr=0.05, structure_lr=0.1, progress=False, device="cpu", compile=compile,
        ).at(10.0).model.state_dict()
        for compile in (False, "trace")
    ]  # fmt: skip
    assert not caplog.records  # of a step that had to stay eager
    for name, value in states[0].items():
        assert torch.allclose(value, states[1][name], rtol=1e-9, atol=1e-12), name


def test_a_cost_weight_is_nats_an_example_and_parameter():
    """The bound counts λ̃ M ⟨softmax α, n⟩ over a sample of M."""
    post = darts(mixed(), *halves(50), steps=3, cost_weight=0.01, **OPTIONS)
    assert post.kl_weight == pytest.approx(0.5)
    expected = float(post.model.probabilities()["x", "h"] @ torch.tensor([16.0, 24.0, 0.0]))
    metrics = post.evaluate(halves(50)[1], draws=1)
    assert metrics["kl"] == pytest.approx(expected, rel=1e-5)


def test_published_settings_are_the_default_and_can_be_changed():
    post = darts(mixed(), *halves(20), epochs=1, **OPTIONS)
    settings = post.settings
    assert (settings.batch_size, settings.lr, settings.steps) == (64, 0.025, 1)
    upper = settings.bilevel
    assert upper["lr"] == 1e-3
    assert upper["optimizer"] == "Adam(betas=(0.5, 0.999), weight_decay=0.001)"
    other = darts(
        mixed(), *halves(20), steps=2, batch_size=10, hypergradient=Unrolled(2), **OPTIONS
    )
    assert other.settings.batch_size == 10
    assert other.settings.bilevel["hypergradient"]["steps"] == 2


def test_the_classifier_is_what_leads_to_the_output():
    assert classifier(mixed()) == ["net.primitives.h->y"]
    assert classifier(bn.nn.cells(["normal"], channels=2, nodes=1, image=4)) == [
        "net.primitives.c0->y"
    ]


def test_clipped_descent_is_descent_where_the_gradient_is_small():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(6, generator=generator)
    for scale in (0.1, 100.0):
        slope = scale * torch.randn(6, generator=generator)
        ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
        clipped = ClippedSGD([ours], lr=0.1, clip_norm=5.0, momentum=0.9, weight_decay=0.1)
        plain = torch.optim.SGD([theirs], lr=0.1, momentum=0.9, weight_decay=0.1)
        norm = float(slope.norm())
        ours.grad, theirs.grad = slope.clone(), slope * min(1.0, 5.0 / norm)
        clipped.step()
        plain.step()
        assert torch.allclose(ours, theirs, atol=1e-5)
