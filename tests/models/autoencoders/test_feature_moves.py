"""Merges and drops of features against the model that they should leave."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bayesnas.models.autoencoders.feature_moves import feature_moves
from bayesnas.models.autoencoders.indian_buffet_vae import IndianBuffetVae

GUIDES = ["structured", "mean-field"]


def split_model(guide: str, sign: float) -> IndianBuffetVae:
    """Features 0 and 1 share what one could say, in equal or opposite states; 2 is another."""
    model = IndianBuffetVae(
        4, 3, 1.0, hidden=(), factors=False, likelihood="gaussian", noise_scale=0.5,
        guide_structure=guide,
    )  # fmt: skip
    heads = model.networks.heads
    with torch.no_grad():
        heads.weight.zero_()
        heads.weight[0, 0], heads.bias[0] = 40.0, -40.0
        heads.weight[1, 0], heads.bias[1] = sign * 30.0, sign * -30.0
        heads.weight[2, 3], heads.bias[2] = 40.0, -40.0
        model.first.weight.zero_()
        model.first.bias.fill_(0.3)
        model.first.weight[:2, 0] = 1.4
        model.first.weight[:2, 1] = sign * 0.6
        model.first.weight[3, 2] = 2.0
    return model


def examples() -> Tensor:
    states = torch.tensor([[0.0, 0.0, 0.0, 0.0], [2.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0]])
    return states.repeat(20, 1)


@pytest.mark.parametrize("guide", GUIDES)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_merge_reconstructs_the_same_with_one_feature_less(guide: str, sign: float) -> None:
    model, x = split_model(guide, sign), examples()
    before, bound = model.reconstruct(x), model.bound(x, draws=200, relaxed=True).mean()
    merge = next(feature_moves(model, x))
    merge()
    assert model.active(x).tolist() == [True, False, True]
    assert torch.allclose(model.reconstruct(x), before, atol=1e-3)
    assert model.first.weight[:2, 0].tolist() == pytest.approx([2.0, 2.0])
    assert float(model.bound(x, draws=200, relaxed=True).mean()) > float(bound) + 1


@pytest.mark.parametrize("guide", GUIDES)
@pytest.mark.parametrize("factors", [False, True])
def test_a_feature_that_is_dropped_costs_and_changes_nothing(guide: str, factors: bool) -> None:
    torch.manual_seed(0)
    model = IndianBuffetVae(4, 3, 1.0, hidden=(5,), factors=factors, guide_structure=guide)
    x = torch.rand(50, 4)
    code = model.encode(x)
    drops = [move for move in feature_moves(model, x) if move.func.__name__ == "_drop"]  # type: ignore[attr-defined]
    assert len(drops) == 3
    j = int(model.activity(x).std(0).argmin())
    inner = model.first(torch.where(torch.arange(3) == j, code.mean(0), code))
    drops[0]()
    evidence, *parts = model.networks.encode(x)
    prior_logits = model.scales().logit()
    assert torch.allclose(model.gate_logits(evidence, prior_logits)[:, j], prior_logits[j])
    assert torch.allclose(model.first(code), inner, atol=1e-5)
    if factors:
        posterior = model.factor_posterior(parts, torch.ones(50, 3))
        assert float(posterior.mean[:, j].detach().abs().max()) == 0.0  # type: ignore[attr-defined]
        assert float(posterior.stddev[:, j].detach().min()) > 0.99  # type: ignore[attr-defined]


def test_features_with_strengths_are_not_merged() -> None:
    torch.manual_seed(0)
    model = IndianBuffetVae(4, 3, 1.0, hidden=())
    with torch.no_grad():
        model.networks.heads.weight[:3] = model.networks.heads.weight[0]
    moves = feature_moves(model, torch.rand(30, 4))
    assert {move.func.__name__ for move in moves} == {"_drop"}  # type: ignore[attr-defined]
