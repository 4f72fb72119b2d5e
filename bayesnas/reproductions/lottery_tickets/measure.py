"""Accuracies of the tickets of one start, kept for a second call."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import torch

import bayesnas as bn
from bayesnas.data import DataSet
from bayesnas.inference.compression.plain_networks.tickets import Control
from bayesnas.reproductions.accuracies import accuracy
from bayesnas.reproductions.base import Request
from bayesnas.reproductions.lottery_tickets.settings import Settings, network
from bayesnas.tensor_files import read_json, write_json


@dataclass(frozen=True)
class Measured:
    """Test accuracies of one start.

    Attributes:
        kept: share of the weights, by round.
        winning: of the tickets, by round; the first is the dense network.
        reinitialised: of the same masks with other initial weights, by round of the controls.
        random: of as many weights a layer at random places, likewise.
    """

    kept: list[float]
    winning: list[float]
    reinitialised: list[float] = field(default_factory=list)
    random: list[float] = field(default_factory=list)


def measured(start: int, data: DataSet, settings: Settings, request: Request) -> Measured:
    """Measure, or read what was measured before."""
    path = request.out / "measured" / f"{start}.json"
    if path.exists():
        return Measured(**read_json(path))
    request.say(f"start {start}")
    figures = _measure(start, data, settings, request)
    path.parent.mkdir(exist_ok=True)
    write_json(path, asdict(figures))
    return figures


def _measure(start: int, data: DataSet, settings: Settings, request: Request) -> Measured:
    assert data.test is not None
    test, seed = data.test, settings.seed + start
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = network(settings.widths)
    tickets = bn.lottery_tickets(
        net,
        data.train,
        rounds=settings.rounds,
        rate=settings.rate,
        epochs=settings.epochs,
        lr=settings.lr,
        batch_size=settings.batch_size,
        seed=seed,
        device=request.device,
        progress=request.progress,
    )
    figures = Measured(
        [t.kept for t in tickets], [accuracy(t.module, test.x, test.y) for t in tickets]
    )
    controls: tuple[tuple[Control, list[float]], ...] = (
        ("reinitialised", figures.reinitialised),
        ("random", figures.random),
    )
    for index in settings.controls:
        ticket = tickets[index]
        for kind, into in controls:
            control = ticket.control(data.train, kind, seed=1000 + seed, device=request.device)
            into.append(accuracy(control.module, test.x, test.y))
    return figures
