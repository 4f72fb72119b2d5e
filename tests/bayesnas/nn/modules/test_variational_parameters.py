"""Variational parameters and keep masks by site."""

from __future__ import annotations

import copy

import pytest
import torch

from bayesnas.nn.modules.keep_masks import KeepMasks
from bayesnas.nn.modules.variational_parameters import VariationalParameters


def test_parameters_are_found_by_name_and_survive_copies() -> None:
    parameters = VariationalParameters({"a.b.loc": torch.zeros(2), "a.loc": torch.ones(3)})
    duplicate = copy.deepcopy(parameters)
    duplicate.assign("a.loc", torch.full((3,), 7.0))
    assert list(parameters) == ["a.b.loc", "a.loc"]
    assert torch.equal(parameters["a.loc"], torch.ones(3))
    assert torch.equal(duplicate["a.loc"], torch.full((3,), 7.0))
    assert duplicate["a.loc"] is dict(duplicate.named_parameters())["a.loc"]
    parameters.load_state_dict(duplicate.state_dict())
    assert torch.equal(parameters["a.loc"], torch.full((3,), 7.0))
    with pytest.raises(KeyError, match="missing"):
        parameters["missing"]


def test_masks_cost_nothing_until_something_is_removed_and_are_saved() -> None:
    keep = KeepMasks({"w": torch.Size([3])})
    assert keep["w"] is None
    mask = torch.tensor([True, False, True])
    keep.assign({"w": mask})
    other = KeepMasks({"w": torch.Size([3])})
    other.load_state_dict(keep.state_dict())
    assert torch.equal(other["w"], mask)
    other.assign({"w": torch.ones(3, dtype=torch.bool)})
    assert other["w"] is None


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"v": torch.ones(3, dtype=torch.bool)}, "got 'v'"),
        ({"w": torch.ones(2, dtype=torch.bool)}, r"must have shape \[3\], got \[2\]"),
    ],
)
def test_masks_of_other_sites_or_shapes_are_named(
    masks: dict[str, torch.Tensor], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        KeepMasks({"w": torch.Size([3])}).assign(masks)
