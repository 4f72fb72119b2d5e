"""Weights that nothing reads: removing them must leave the outputs as they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bayesnas.pruning.unused_units import read_masks


def all_kept(net: nn.Module) -> dict[str, Tensor]:
    return {name: torch.ones_like(p, dtype=torch.bool) for name, p in net.named_parameters()}


def zeroed(net: nn.Module, masks: dict[str, Tensor]) -> nn.Module:
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name in masks:
                parameter *= masks[name]
    return net


def test_a_chain_is_followed_to_its_start() -> None:
    net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    masks = all_kept(net)
    masks["4.weight"][:, 1:] = False  # only unit 0 of the second layer is read
    masks["2.weight"][0, 2:] = False  # and it reads units 0 and 1 of the first
    read = read_masks(net, masks, torch.ones(2, 5))
    assert read["2.weight"].sum(1).tolist() == [2, 0, 0]
    assert read["2.bias"].tolist() == [True, False, False]
    assert read["0.weight"].sum(1).tolist() == [5, 5, 0, 0]
    assert read["0.bias"].tolist() == [True, True, False, False]
    assert bool(read["4.bias"].all())
    assert int(masks["0.weight"].sum()) == 20  # what was given stays as it is


def test_a_convolution_is_read_through_pooling_and_flattening() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(3 * 9, 2),
    ).eval()  # fmt: skip
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    masks = {n: m for n, m in all_kept(net).items() if not n.startswith("1.")}
    masks["5.weight"][:, 9:18] = False
    masks["5.weight"][:, :8] = False
    zeroed(net, masks)
    before = net(x).detach()
    read = read_masks(net, masks, x)
    assert read["0.weight"].flatten(1).any(1).tolist() == [True, False, True]
    assert torch.allclose(zeroed(net, read)(x), before, atol=1e-6)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.stem(x))
        joined: Tensor = self.head(h + torch.relu(self.inner(h)))
        return joined


def test_a_unit_of_a_residual_sum_stays_while_one_branch_reads_it() -> None:
    net = Residual()
    masks = all_kept(net)
    masks["head.weight"][:, :3] = False
    masks["inner.weight"][:, 0] = False
    read = read_masks(net, masks, torch.ones(2, 4))
    # Unit 0 is read by nobody; 1 and 2 still by the inner branch.
    assert not bool(read["stem.weight"][0].any())
    assert bool(read["stem.weight"][1:].all())
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    before = zeroed(net, masks)(x).detach()
    assert torch.allclose(zeroed(net, read)(x), before, atol=1e-6)


def test_a_transposed_convolution() -> None:
    net = nn.Sequential(nn.ConvTranspose2d(2, 3, 2), nn.ReLU(), nn.Conv2d(3, 1, 1))
    masks = all_kept(net)
    masks["2.weight"][:, 1] = False
    read = read_masks(net, masks, torch.ones(1, 2, 3, 3))
    assert read["0.weight"].transpose(0, 1).flatten(1).any(1).tolist() == [True, False, True]
