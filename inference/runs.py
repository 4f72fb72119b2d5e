"""The folder of a run: what was fitted on what, and its result. No pickle."""

from __future__ import annotations

import datetime
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bayesnas.data import DataInfo
from bayesnas.inference.checkpoint import (
    CHECKPOINT,
    ChainRecord,
    read_checkpoint,
    write_checkpoint,
)
from bayesnas.inference.files import read_json, read_tensors, write_json, write_tensors
from bayesnas.inference.settings import FitSettings
from bayesnas.inference.training import Training
from bayesnas.models import zoo_class
from bayesnas.models.base import BayesianModel

FORMAT = 1
"""Version of the run format; a run of a later one is refused."""

RUN = "run.json"
RESULT = "posterior.safetensors"

Example = tuple[Tensor, Tensor]


@dataclass
class RunDescription:
    """What was fitted on what.

    Attributes:
        model: the model, not fitted.
        settings: of the fit.
        data: name, task, classes, standardisation of the training data.
        fingerprint: hash of the training data.
    """

    model: BayesianModel
    settings: FitSettings
    data: DataInfo
    fingerprint: str

    def to_dict(self, status: str) -> dict[str, Any]:
        """The content of ``run.json``."""
        return {
            "format": FORMAT,
            "status": status,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
            "model": _describe_model(self.model),
            "settings": self.settings.to_dict(),
            "data": self.data.to_dict(),
            "fingerprint": self.fingerprint,
        }


_LIBRARIES = ("bayesnas", "torch", "pyro-ppl")


class RunFolder:
    """A folder that belongs to one run.

    Attributes:
        path: the folder.
        finished: whether the run in it is done.
    """

    def __init__(self, path: Path, run: RunDescription, finished: bool = False) -> None:
        """Hold a folder; see :meth:`claim`."""
        self.path, self.finished = path, finished
        self._run = run

    @classmethod
    def claim(cls, out: str | Path, run: RunDescription, *, resume: bool = False) -> RunFolder:
        """Take a folder for a run, or take up the run in it.

        Raises:
            FileExistsError: if it holds a run and ``resume`` is false.
            NotADirectoryError: if it is a file.
            ValueError: if the run in it is another one; the message says in what.
        """
        path = Path(out)
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"out must be a folder, got the file {path}")
        held = [name for name in (RUN, RESULT, CHECKPOINT) if (path / name).exists()]
        if not held:
            path.mkdir(parents=True, exist_ok=True)
            write_json(path / RUN, run.to_dict("running"))
            return cls(path, run)
        if not resume:
            raise FileExistsError(
                f"out: {path} already holds a run ({', '.join(held)}); "
                "give another folder, or resume=True to go on with it"
            )
        if RUN not in held:
            raise FileNotFoundError(f"out: {path} holds {', '.join(held)} but no {RUN}")
        return cls(path, run, _same_run(path, run) == "finished")

    def checkpoint(self) -> tuple[list[ChainRecord], dict[str, Tensor], dict[str, Any]] | None:
        """Last checkpoint, or None where there is none yet."""
        return read_checkpoint(self.path) if (self.path / CHECKPOINT).exists() else None

    def write_checkpoint(self, finished: Sequence[ChainRecord], training: Training) -> bool:
        """Write where the fit stands; see :func:`~bayesnas.inference.checkpoint.write_checkpoint`."""
        return write_checkpoint(self.path, finished, training)

    def finish(self, records: Sequence[ChainRecord], example: Example) -> None:
        """Write the result; only then is the run finished and the checkpoint removed.

        Raises:
            OSError: where it can't be written; the checkpoint is intact.
        """
        tensors = {"example/x": example[0], "example/y": example[1]}
        for index, record in enumerate(records):
            tensors |= record.tensors(f"chain{index}/")
        nll = [record.validation_nll for record in records]
        write_tensors(self.path / RESULT, tensors, {"validation_nll": nll})
        write_json(self.path / RUN, self._run.to_dict("finished"))
        (self.path / CHECKPOINT).unlink(missing_ok=True)
        self.finished = True


def read_run(
    path: str | Path, model: BayesianModel | None = None
) -> tuple[RunDescription, list[ChainRecord], Example]:
    """Read a finished run.

    Args:
        path: its folder.
        model: an equally built model, for one that can't be rebuilt from its description.

    Raises:
        FileNotFoundError: naming what is missing; for an interrupted run, how to go on.
        ValueError: for a truncated file, or a run of a later version.
    """
    folder = Path(path)
    if not (folder / RUN).exists():
        raise FileNotFoundError(f"{folder} holds no run: {RUN} is missing")
    content = read_json(folder / RUN)
    _check_format(folder, content)
    if content["status"] != "finished":
        at = "before its first checkpoint" if not (folder / CHECKPOINT).exists() else "midway"
        raise FileNotFoundError(
            f"the run in {folder} was interrupted {at}: {RESULT} is missing; fit with the same "
            "arguments, out= and resume=True to go on"
        )
    if not (folder / RESULT).exists():
        raise FileNotFoundError(f"{folder / RESULT} is missing")
    run = RunDescription(
        model if model is not None else _rebuild_model(folder, content["model"]),
        FitSettings(**content["settings"]),
        DataInfo.from_dict(content["data"]),
        content["fingerprint"],
    )
    tensors, metadata = read_tensors(folder / RESULT)
    records = [
        ChainRecord.read(f"chain{index}/", tensors, nll)
        for index, nll in enumerate(metadata["validation_nll"])
    ]
    return run, records, (tensors["example/x"], tensors["example/y"])


def _describe_model(model: BayesianModel) -> dict[str, Any]:
    try:
        return {"class": type(model).__name__, "config": model.config()}
    except TypeError as reason:
        return {"class": type(model).__name__, "config": None, "reason": str(reason)}


def _rebuild_model(folder: Path, content: dict[str, Any]) -> BayesianModel:
    if content["config"] is None:
        raise ValueError(f"{folder}: {content['reason']}")
    with torch.random.fork_rng(devices=[]):
        return zoo_class(content["class"]).from_config(content["config"])


def _check_format(folder: Path, content: dict[str, Any]) -> None:
    found = content.get("format")
    if found != FORMAT:
        version = content.get("versions", {}).get("bayesnas", "unknown")
        raise ValueError(
            f"the run in {folder} has format {found!r} (written by bayesnas {version}); this "
            f"bayesnas {importlib.metadata.version('bayesnas')} reads format {FORMAT}"
        )


def _same_run(path: Path, run: RunDescription) -> str:
    """Status of the run in ``path``; raises where it is not ``run``."""
    held = read_json(path / RUN)
    _check_format(path, held)
    asked = run.to_dict(held["status"])
    for part in ("settings", "model", "data"):
        for name, value in asked[part].items():
            if held[part].get(name) != value and name not in ("reason", "source"):
                raise ValueError(
                    f"resume: the run in {path} has {part} {name}={_short(held[part].get(name))}, "
                    f"got {name}={_short(value)}"
                )
    if held["fingerprint"] != run.fingerprint:
        raise ValueError(f"resume: the run in {path} was on other training data")
    status: str = held["status"]
    return status


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
