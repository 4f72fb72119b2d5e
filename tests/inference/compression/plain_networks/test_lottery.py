"""Lottery tickets: what is removed, what is rewound, what the controls share with them."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.inference import LotteryTickets, Pruned

QUIET = {"device": "cpu", "progress": False}
SHORT = {"rounds": 3, "rate": 0.5, "epochs": 2, **QUIET}


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return bn.nn.mlp([64, 16, 10])


@pytest.fixture(scope="module")
def tickets(digits, net):
    return bn.lottery_tickets(net, digits, **SHORT)


def test_a_part_of_what_each_layer_has_left_goes_each_round(tickets):
    assert isinstance(tickets, LotteryTickets)
    assert len(tickets) == 4
    kept = [[int(t.masks[f"layer{i}.weight"].sum()) for i in (1, 2)] for t in tickets]
    # Half of 1,024 in the first layer, a quarter of 160 in the last one.
    assert kept == [[1024, 160], [512, 120], [256, 90], [128, 68]]
    assert all(bool(t.masks[f"layer{i}.bias"].all()) for t in tickets for i in (1, 2))
    assert all(isinstance(ticket, Pruned) for ticket in tickets[1:])
    assert repr(tickets) == "LotteryTickets(4, 100 to 16.6 % of the weights)"


def test_those_that_go_are_the_smallest_after_training(tickets):
    for before, after in pairwise(tickets):
        for site in ("layer1.weight", "layer2.weight"):
            trained = before.module.get_parameter(site).detach().abs()
            kept, gone = after.masks[site], before.masks[site] & ~after.masks[site]
            assert bool((before.masks[site] | ~kept).all())
            assert trained[kept].min() >= trained[gone].max()


def test_every_round_starts_at_the_weights_that_came(digits, net, tickets):
    for ticket in tickets:
        for name, value in net.state_dict().items():
            assert torch.equal(ticket.start.state_dict()[name], value)
    # A ticket is what a step of plain training from the masked initial weights gives.
    ticket = bn.lottery_tickets(net, digits, rounds=1, rate=0.5, epochs=1, batch_size=300, **QUIET)[
        1
    ]
    with torch.no_grad():
        masked = copy.deepcopy(net)
        for name, mask in ticket.masks.items():
            masked.get_parameter(name).mul_(mask)
    optimizer = torch.optim.Adam(masked.parameters(), 1.2e-3)
    nn.functional.cross_entropy(masked(digits.x), digits.y).backward()
    optimizer.step()
    for name, mask in ticket.masks.items():
        expected = masked.get_parameter(name) * mask
        torch.testing.assert_close(
            ticket.module.get_parameter(name), expected, rtol=1e-4, atol=1e-5
        )


def test_removed_weights_are_zero_and_nothing_that_came_is_changed(digits, net):
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    trained = bn.lottery_tickets(net, digits, **SHORT)
    again = bn.lottery_tickets(net, digits, **SHORT)
    for ticket in trained:
        for name, mask in ticket.masks.items():
            assert not ticket.module.get_parameter(name)[~mask].any()
    assert torch.equal(trained[3].module.layer1.weight, again[3].module.layer1.weight)
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())
    assert torch.equal(torch.get_rng_state(), state)


def test_controls_have_as_many_weights(digits, net, tickets):
    ticket = tickets[2]
    other = ticket.control(digits, "reinitialised", device="cpu")
    assert all(torch.equal(other.masks[name], mask) for name, mask in ticket.masks.items())
    assert not torch.equal(other.start.layer1.weight, net.layer1.weight)
    assert other.start.layer1.weight.abs().max() <= 1 / 8  # torch's bound for 64 inputs
    moved = ticket.control(digits, "random", device="cpu")
    assert torch.equal(moved.start.layer1.weight, net.layer1.weight)
    for name, mask in ticket.masks.items():
        assert moved.masks[name].sum() == mask.sum()
    assert not torch.equal(moved.masks["layer1.weight"], ticket.masks["layer1.weight"])
    for control in (other, moved):
        assert not control.module.layer1.weight[~control.masks["layer1.weight"]].any()
        assert control.how.epochs == ticket.how.epochs


def test_rewinding_to_later_weights(digits, net):
    trained = bn.lottery_tickets(net, digits, rewind_epochs=1, **SHORT)
    point = trained[0].start.layer1.weight
    assert not torch.equal(point, net.layer1.weight)
    assert all(torch.equal(ticket.start.layer1.weight, point) for ticket in trained)


@pytest.mark.parametrize(
    ("by", "score"),
    [
        ("magnitude-increase", lambda start, end: end.abs() - start.abs()),
        ("movement", lambda start, end: (end - start).abs()),
        ("same-sign", lambda start, end: torch.where(start * end > 0, end.abs(), 0.0)),
    ],
)
def test_rules_of_the_weight_before_and_after(by, score, digits, net):
    ranked = bn.lottery_tickets(net, digits, by=by, **{**SHORT, "rounds": 2})
    for before, after in pairwise(ranked):
        trained = before.module.layer1.weight.detach()
        kept, gone = (
            after.masks["layer1.weight"],
            before.masks["layer1.weight"] & ~after.masks["layer1.weight"],
        )
        scores = score(net.layer1.weight.detach(), trained)
        assert scores[kept].min() >= scores[gone].max() - 1e-7
    assert int(ranked[2].masks["layer1.weight"].sum()) == 256


def test_the_mask_on_the_untrained_network(net, tickets):
    ticket = tickets[3]
    drawn, signed = ticket.untrained(), ticket.untrained(signed_constant=True)
    for name in ("layer1.weight", "layer2.weight"):
        weight, mask = net.get_parameter(name).detach(), ticket.masks[name]
        assert torch.equal(drawn.get_parameter(name), weight * mask)
        expected = torch.sign(weight) * weight.std() * mask
        torch.testing.assert_close(signed.get_parameter(name).detach(), expected)
    assert torch.equal(signed.layer1.bias, net.layer1.bias)
    assert ticket.start.layer1.weight.all()


@pytest.mark.parametrize("by", ["obd", "fisher", "random"])
def test_other_criteria(by, digits, net):
    trained = bn.lottery_tickets(net, digits, by=by, **{**SHORT, "rounds": 1, "epochs": 1})
    assert int(trained[1].masks["layer1.weight"].sum()) == 512


def test_a_regression(tmp_path):
    x = torch.randn(50, 3)
    trained = bn.lottery_tickets(
        bn.nn.mlp([3, 8, 1]), (x, x.sum(1)), likelihood="gaussian", **SHORT
    )
    trained[3].encode(tmp_path / "ticket.bin")
    assert torch.equal(bn.decode(tmp_path / "ticket.bin")(x), trained[3].module(x))
    assert trained[3].control((x, x.sum(1)), "random", device="cpu").weights == trained[3].weights


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "rounds must be"),
        ({"rate": 1.0}, r"rate must be a fraction in \(0, 1\)"),
        ({"output_rate": -0.1}, r"output_rate must be a fraction in \[0, 1\)"),
        ({"by": "density"}, "by must be"),
        ({"schedule": "step"}, "schedule must be"),
        ({"epochs": 0}, "epochs must be"),
        ({"lr": -1.0}, "lr must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_options_out_of_range_are_named(options, message, digits, net):
    with pytest.raises(ValueError, match=message):
        bn.lottery_tickets(net, digits, **{**SHORT, **options})


def test_an_unknown_control_and_other_data_are_named(digits, tickets):
    with pytest.raises(ValueError, match="kind must be"):
        tickets[1].control(digits, "lucky")
    with pytest.raises(ValueError, match="data: net does not take inputs"):
        tickets[1].control((torch.randn(9, 3), torch.arange(9)), "random")
