"""ENAS and budgeted super networks against random architectures, on the Fashion-MNIST slice."""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import bayesnas as bn
from bayesnas.inference.runs.atomic_files import read_json, write_json
from bayesnas.inference.runtime.random_state import RandomStream
from bayesnas.inference.search.strategies.shared_weights.alternation import SharedSearch
from bayesnas.inference.search.strategies.shared_weights.budgeted_supernet import budgeted_supernet
from bayesnas.inference.search.strategies.shared_weights.enas import enas
from bayesnas.inference.search.strategies.shared_weights.samples import Batches, Sample
from bayesnas.nn.graphs.darts_operations import Zero
from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.graphs.random_architectures import architecture_sizes, random_architecture
from bayesnas.reproductions.base import Comparison, Request

VERTICES = 4


@dataclass(frozen=True)
class Settings:
    """What decides the numbers.

    Attributes:
        train: images of the weights, in searches and in training again.
        validation: images of the distributions, and by which the random front is chosen.
        test: images of the figures.
        channels: of every vertex.
        epochs: of a search; a third of them before the distribution moves.
        retraining_epochs: of every architecture, from fresh weights.
        retrainings: seeds of training again.
        searches: seeds of each method.
        random: architectures, spread over all sizes.
        budgets: of the budgeted networks, shares of the way from the smallest to the largest.
    """

    train: int = 2400
    validation: int = 1200
    test: int = 4000
    channels: int = 8
    epochs: int = 20
    retraining_epochs: int = 12
    retrainings: int = 2
    searches: int = 3
    random: int = 12
    budgets: tuple[float, ...] = (0.3, 0.6)


QUICK = Settings(
    train=640, validation=320, test=500, channels=4, epochs=3, retraining_epochs=2, retrainings=2,
    searches=1, random=3, budgets=(0.5,),
)  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """An architecture trained again: its size, and accuracies by seed."""

    parameters: int
    validation: tuple[float, ...]
    test: tuple[float, ...]


@dataclass(frozen=True)
class Parts:
    """The images: rows of training and test part in the order of the data set."""

    train: Sample
    validation: Sample
    test: Sample


def fashion_graph(channels: int) -> Graph:
    """Four vertices, five operations on six mixed edges, on images of 14 × 14."""
    stem = nn.Sequential(nn.Conv2d(1, channels, 3, padding=1), nn.GroupNorm(1, channels))
    head = nn.Sequential(
        nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(9 * channels, 10)
    )
    edges: dict[tuple[str | int, str | int], nn.Module | dict[str, nn.Module]] = {("x", "v0"): stem}
    for target in range(1, VERTICES):
        for source in range(target):
            edges[f"v{source}", f"v{target}"] = _operations(channels)
    edges[f"v{VERTICES - 1}", "y"] = head
    return Graph(edges, example=torch.zeros(1, 1, 14, 14))


def _operations(channels: int) -> dict[str, nn.Module]:
    return {
        "none": Zero(),
        "skip": nn.Identity(),
        "mean-3x3": nn.AvgPool2d(3, stride=1, padding=1),
        "conv-1x1": _convolution(channels, 1),
        "conv-3x3": _convolution(channels, 3),
    }


def _convolution(channels: int, kernel: int) -> nn.Module:
    # Normalised over an example, so that shared weights need no averages over architectures.
    convolution = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), convolution, nn.GroupNorm(1, channels, affine=False))


def images(settings: Settings, root: str | None) -> Parts:
    """Load, average over 2 × 2 pixels, and cut."""
    data = bn.data.load("fashion-mnist", root=root)
    x, y = F.avg_pool2d(data.train.x.view(-1, 1, 28, 28), 2), data.train.y
    last = settings.train + settings.validation
    test_x = F.avg_pool2d(data.test.x[: settings.test].view(-1, 1, 28, 28), 2)
    return Parts(
        Sample(x[: settings.train], y[: settings.train]),
        Sample(x[settings.train : last], y[settings.train : last]),
        Sample(test_x, data.test.y[: settings.test]),
    )


def retrained(graph: Graph, parts: Parts, settings: Settings, seed: int) -> tuple[float, float]:
    """Accuracy on validation and test images after training from fresh weights.

    SGD with a momentum of 0.9, batches of 64, a cosine from 0.05 to 0; the last weights count.
    """
    net = copy.deepcopy(graph)
    with RandomStream(seed, torch.device("cpu")).active():
        for module in net.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
        batches = Batches(parts.train, 64)
        steps = settings.retraining_epochs * (len(parts.train) // 64)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            batch = batches.next()
            optimizer.zero_grad()
            F.cross_entropy(net(batch.x), batch.y).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            schedule.step()
    return _accuracy(net, parts.validation), _accuracy(net, parts.test)


@torch.no_grad()
def _accuracy(net: nn.Module, sample: Sample) -> float:
    net.eval()
    return float((net(sample.x).argmax(1) == sample.y).double().mean())


class Study:
    """All architectures, each searched and trained once; a second call goes on with a folder.

    Args:
        settings: of the whole.
        request: folder, data, and whom to tell.
    """

    def __init__(self, settings: Settings, request: Request) -> None:
        """Load the images; see the class."""
        self._settings, self._say = settings, request.say
        self._file = request.out / "shared-weights.json"
        self._parts = images(settings, request.root)
        self._space = fashion_graph(settings.channels)

    def run(self) -> dict[str, list[Trained]]:
        """By method, an entry a search or a random architecture."""
        settings = self._settings
        found = {
            "random": [
                self._trained(f"random-{index}", lambda index=index: self._random(index))
                for index in range(settings.random)
            ]
        }
        for method, search in self._searches():
            found[method] = [
                self._trained(f"{method}-{seed}", lambda seed=seed: search(seed).architecture())  # noqa: B023
                for seed in range(settings.searches)
            ]
        return found

    def _searches(self) -> Iterator[tuple[str, Callable[[int], SharedSearch]]]:
        train, held_out = self._parts.train, self._parts.validation
        options: dict[str, Any] = {
            "epochs": self._settings.epochs,
            "warm_up": self._settings.epochs // 3,
            "device": "cpu",
            "progress": False,
        }
        pair, validation = (train.x, train.y), (held_out.x, held_out.y)
        yield (
            "ENAS",
            lambda seed: enas(
                self._space, pair, validation, controller_lr=5e-3, controller_batch=4, seed=seed,
                **options,
            ),
        )  # fmt: skip
        for share, budget in self._budgets().items():
            yield (
                f"budgeted, {share:.0%}",
                lambda seed, budget=budget: budgeted_supernet(
                    self._space, pair, validation, budget=budget, policy_batch=4, seed=seed,
                    **options,
                ),
            )  # fmt: skip

    def _budgets(self) -> dict[float, float]:
        least, most = architecture_sizes(self._space)
        return {share: least + share * (most - least) for share in self._settings.budgets}

    def _random(self, index: int) -> Graph:
        """One of a spread of sizes, as many parameters expected."""
        least, most = architecture_sizes(self._space)
        share = (index + 0.5) / self._settings.random
        return random_architecture(self._space, index, least + share * (most - least))

    def _trained(self, key: str, make: Callable[[], Graph]) -> Trained:
        """The accuracies of an architecture, read where they are known."""
        known: dict[str, Any] = read_json(self._file) if self._file.exists() else {}
        if key not in known:
            self._say(key)
            graph = make()
            pairs = [
                retrained(graph, self._parts, self._settings, 100 + seed)
                for seed in range(self._settings.retrainings)
            ]
            operations = {f"{a}->{b}": "+".join(graph.names[a, b]) for a, b in graph.edges}
            known[key] = {
                "parameters": graph.parameter_count,
                "validation": [validation for validation, _ in pairs],
                "test": [test for _, test in pairs],
                "operations": operations,
            }
            write_json(self._file, known)
        entry = known[key]
        return Trained(entry["parameters"], tuple(entry["validation"]), tuple(entry["test"]))


def front_at(random: list[Trained], parameters: int) -> Trained | None:
    """The random architecture of the best mean validation accuracy among those no larger.

    >>> small, large = Trained(10, (0.5,), (0.6,)), Trained(20, (0.8,), (0.7,))
    >>> front_at([small, large], 15) is small, front_at([small, large], 5)
    (True, None)
    """
    smaller = [each for each in random if each.parameters <= parameters]
    return max(smaller, key=lambda each: statistics.fmean(each.validation), default=None)


def compare(found: Mapping[str, list[Trained]]) -> Iterator[Comparison]:
    """Test accuracies beside those of the random front at the same size."""
    for method, entries in found.items():
        for index, each in enumerate(entries):
            labels = {"method": method, "number": str(index), "parameters": str(each.parameters)}
            yield Comparison({**labels, "of": "itself"}, "test accuracy", None, each.test)
            front = front_at(found["random"], each.parameters)
            if method != "random" and front is not None:
                yield Comparison(
                    {**labels, "of": "random front"}, "test accuracy", None, front.test
                )


def remarks(found: Mapping[str, list[Trained]], settings: Settings) -> list[str]:
    """By method, the mean difference from the random front and its standard error."""
    lines = [
        f"Fashion-MNIST averaged over 2 × 2 pixels, {settings.train:,} training, "
        f"{settings.validation:,} validation and {settings.test:,} test images; six edges of five "
        f"operations, {settings.channels} channels; searches of {settings.epochs} epochs, every "
        f"architecture trained again for {settings.retraining_epochs} with "
        f"{settings.retrainings} seeds."
    ]
    for method, entries in found.items():
        if method == "random":
            continue
        fronts = [(each, front_at(found["random"], each.parameters)) for each in entries]
        differences = [
            statistics.fmean(each.test) - statistics.fmean(front.test)
            for each, front in fronts
            if front is not None
        ]
        if len(differences) > 1:
            error = statistics.stdev(differences) / math.sqrt(len(differences))
            lines.append(
                f"{method}: {100 * statistics.fmean(differences):+.2f} ± {100 * error:.2f} points "
                f"from the random front at its size, {len(differences)} searches."
            )
    return lines


def measure(request: Request) -> tuple[list[Comparison], list[str]]:
    """Run all; comparisons and remarks."""
    settings = QUICK if request.quick else Settings()
    found = Study(settings, request).run()
    return list(compare(found)), remarks(found, settings)


def described(settings: Settings) -> dict[str, Any]:
    """The settings as JSON values."""
    return {**asdict(settings), "budgets": list(settings.budgets)}


__all__ = ["QUICK", "Path", "Settings", "described", "measure"]
