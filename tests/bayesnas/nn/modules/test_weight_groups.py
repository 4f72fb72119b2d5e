"""Which groups a layer has."""

from __future__ import annotations

import pytest
from torch import nn

from bayesnas.nn.modules.weight_groups import Groups, find_groups, groups_of


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Linear(4, 7), Groups("in", 4, 1)),
        (nn.Conv1d(3, 8, 5), Groups("out", 8, 0)),
        (nn.Conv2d(6, 6, 3, groups=6), Groups("out", 6, 0)),
        (nn.ConvTranspose2d(3, 8, 5), Groups("out", 8, 1)),
    ],
)
def test_groups_lie_along_the_axis_of_their_size(layer: nn.Module, expected: Groups) -> None:
    groups = groups_of(layer)
    assert groups == expected
    assert layer.get_parameter("weight").shape[groups.weight_axis] == groups.count
    assert groups.axis("bias") == (None if groups.on == "in" else 0)


def test_layers_are_found_by_the_rule() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert list(find_groups(net, lambda name, module: isinstance(module, nn.Linear))) == ["0", "2"]
    assert list(find_groups(net, lambda name, module: name == "2")) == ["2"]


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(3), nn.ConvTranspose2d(4, 4, 3, groups=2)])
def test_other_layers_are_refused(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match=f"got {type(layer).__name__}"):
        groups_of(layer)
