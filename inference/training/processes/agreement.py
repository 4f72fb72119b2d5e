"""That the processes of a fit were given the same, and how they end when one of them is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesnas.inference.runs.compatibility import differing
from bayesnas.inference.runs.description import RunDescription
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.processes.group import Processes
from bayesnas.runtime.processes.lost import ProcessLostError
from bayesnas.runtime.processes.watch import FAILED

_PARTS = ("model", "settings", "data", "fingerprint", "validation", "weights")


def start_as_the_first(model: BayesianModel, processes: Processes) -> None:
    """Give a model the values of parameters and buffers that it has in the first process.

    Raises:
        ValueError: where the models are not built alike.
    """
    if processes.size == 1:
        return
    state = processes.of_first(
        lambda: {name: value.cpu() for name, value in model.state_dict().items()}
    )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"distributed: process {processes.rank} was given another model than process 0: {error}"
        ) from error


def check_same_fit(run: RunDescription, processes: Processes) -> None:
    """Raise ValueError, in all processes, unless they were given the same model, data and options.

    Args:
        run: what this process was given.
        processes: of the fit.
    """
    if processes.size == 1:
        return
    described = run.to_dict("running")
    first, *others = processes.gathered({part: described[part] for part in _PARTS})
    for rank, given in enumerate(others, start=1):
        if difference := _difference(first, given):
            raise ValueError(
                f"distributed: process {rank} was given another fit than process 0: {difference}"
            )


def _difference(first: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    for part in _PARTS:
        here, there = first[part], other[part]
        if not isinstance(here, dict) or not isinstance(there, dict):
            if here != there:
                what = {"fingerprint": "training data", "validation": "validation data"}
                return f"its {what.get(part, part)} differ"
            continue
        for name, value, expected in differing(there, here):
            return f"its {part} has {name}={value!r}, not {expected!r}"
    return ""


def ending(lost: ProcessLostError, processes: Processes, where: str, out: object) -> BaseException:
    """How this process ends once another one is lost: one of all says why, with an error.

    Args:
        lost: as it was noticed.
        processes: of the fit.
        where: how far the fit was, in words.
        out: folder of the run, or None.
    """
    said = "a process of the fit ended"
    if not processes.speaker.is_first(said):
        return SystemExit(FAILED)
    reason = processes.speaker.reason() or _in_words(lost)
    next_step = (
        "nothing is saved: with out= a fit can be resumed"
        if out is None
        else f"what was saved is good: resume=True goes on from {out}"
    )
    return ProcessLostError(f"{said} {where} ({reason}); {next_step}")


def _in_words(lost: ProcessLostError) -> str:
    """What torch says of a process that could not say why it ended."""
    text = str(lost).splitlines()[0]
    return "its connection was closed" if "Connection" in text else text
