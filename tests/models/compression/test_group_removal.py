"""Groups removed down to a number of weights, against a search over every threshold."""

from __future__ import annotations

import pytest
import torch

import bayesnas as bn
from bayesnas.models.compression.group_removal import removed_at, removed_to

INPUTS = torch.zeros(2, 5)


def scored() -> bn.models.BayesianCompressionNet:
    """5–6–3 with normal-Jeffreys scales, whose scores are mixed, within and between layers."""
    scores = {"layer1": [0.3, -1.2, 1.4, -0.1, 0.8], "layer2": [-0.6, 1.1, -1.0, 0.5, 2.0, 0.1]}
    model = bn.models.BayesianCompressionNet(bn.nn.mlp([5, 6, 3]), initial_loc="net")
    for layer, values in scores.items():
        model.variational.assign(f"{layer}.z.log_scale", torch.tensor(values))
    return model


def kept(model: bn.models.BayesianCompressionNet) -> int:
    return sum(int(mask.sum()) for mask in model.keep_masks().values())


@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.2, 0.5, 0.7, 0.85])
def test_as_few_groups_go_as_leave_so_few_weights(fraction: float) -> None:
    model = scored()
    total = kept(model)
    assert total == 5 * 6 + 6 + 6 * 3 + 3
    scores = torch.cat(list(model.group_scores().values()))
    limit = max(float(score.min()) for score in model.group_scores().values())
    sizes = [total]
    sizes += [kept(removed_at(model, float(t), INPUTS)) for t in scores[scores > limit]]
    expected = max(size for size in sizes if size <= round((1 - fraction) * total))
    assert kept(removed_to(model, fraction, INPUTS)) == expected
    assert kept(model) == total  # the model given stays as it is


def test_units_that_nothing_reads_go_with_the_groups() -> None:
    model = scored()
    model.variational.assign("layer1.z.log_scale", torch.full((5,), -3.0))
    unread = torch.tensor([-3.0, 2.0, -3.0, -3.0, -3.0, -3.0])
    model.variational.assign("layer2.z.log_scale", unread)
    masks = removed_at(model, 1.0, INPUTS).keep_masks()
    assert not masks["layer2.weight"][:, 1].any()
    assert not masks["layer1.weight"][1].any()
    assert not masks["layer1.bias"][1]
    assert int(masks["layer1.weight"].sum()) == 5 * 5


def test_too_large_a_fraction_is_refused_with_the_largest() -> None:
    model = scored()
    with pytest.raises(ValueError, match=r"fraction=0.99 would remove all groups of a layer"):
        removed_to(model, 0.99, INPUTS)
    try:
        removed_to(model, 0.99, INPUTS)
    except ValueError as error:
        largest = float(str(error).rsplit(" ", 1)[1])
    assert kept(removed_to(model, largest - 1e-5, INPUTS)) < kept(model)
    with pytest.raises(ValueError, match="would remove all groups"):
        removed_to(model, largest + 0.02, INPUTS)
