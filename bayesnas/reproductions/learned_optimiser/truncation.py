"""What truncation and second derivatives do to a single learned number, a learning rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from bayesnas.inference import learn_optimizer
from bayesnas.inference.learned.rules import MomentumRule
from bayesnas.inference.learned.tasks.quadratics import Quadratics
from bayesnas.reproductions.base import Comparison, Request
from bayesnas.reproductions.learned_optimiser.settings import Settings
from bayesnas.tensor_files import read_json, write_json

_FROM = 1e-3  # where every training begins; gradient descent on these quadratics bears about 1e-2


@dataclass(frozen=True)
class Truncation:
    """A learning rate of gradient descent, learned on quadratics.

    Attributes:
        unroll: steps that a gradient goes back.
        second_derivatives: whether gradients of the task are differentiated.
        rate: where the training ends.
    """

    unroll: int
    second_derivatives: bool
    rate: float


def truncations(settings: Settings, request: Request) -> list[Truncation]:
    """Learn the rates, or read those learned before."""
    path = request.out / "measured" / "truncation.json"
    if path.exists():
        return [Truncation(**each) for each in read_json(path)["rates"]]
    request.say("learning a learning rate, by gradients that go back more and fewer steps")
    results = [
        Truncation(unroll, second, _rate(unroll, second, settings))
        for second in (True, False)
        for unroll in settings.unrolls
    ]
    path.parent.mkdir(exist_ok=True)
    write_json(path, {"rates": [asdict(each) for each in results]})
    return results


def _rate(unroll: int, second: bool, settings: Settings) -> float:
    learned = learn_optimizer(
        Quadratics(10),
        rule=MomentumRule(_FROM),
        steps=settings.steps,
        unroll=unroll,
        rounds=settings.rate_rounds,
        batch=32,
        lr=0.1,
        second_derivatives=second,
        validation=0,
        seed=settings.seed,
        progress=False,
    )
    return float(learned.rule.config()["rate"])


def compare_truncations(results: list[Truncation]) -> Iterator[Comparison]:
    """The rates times a thousand, by how far a gradient goes back."""
    for each in results:
        labels = {
            "gradient of the task": "differentiated" if each.second_derivatives else "constant",
            "goes back": f"{each.unroll} steps",
        }
        rate = (1000 * each.rate,)
        yield Comparison(labels, "1000 × learned rate, quadratics", None, rate)
