"""What was fitted on what: the content of ``run.json``, and how two runs differ."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bayesnas.data import DataInfo
from bayesnas.inference.session import random_state_kept
from bayesnas.inference.settings import FitSettings
from bayesnas.models.base import BayesianModel

FORMAT = 2
"""Version of the run format; a run of a later one is refused."""

_LIBRARIES = ("bayesnas", "torch", "pyro-ppl")
_PARTS = ("status", "model", "settings", "data", "fingerprint", "validation", "start")


@dataclass
class RunDescription:
    """What was fitted on what.

    Attributes:
        model: the model, not fitted.
        settings: of the fit.
        data: name, task, classes, standardisation of the training data.
        fingerprint: hash of the training data.
        validation: hash of the validation data, empty where there is none.
        start: kind of device, and hash of the values that the first chain starts from there.
    """

    model: BayesianModel
    settings: FitSettings
    data: DataInfo
    fingerprint: str
    validation: str = ""
    start: str = ""

    def to_dict(self, status: str) -> dict[str, Any]:
        """Return the content of ``run.json``."""
        return {
            "format": FORMAT,
            "status": status,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
            "model": describe_model(self.model),
            "settings": self.settings.to_dict(),
            "data": self.data.to_dict(),
            "fingerprint": self.fingerprint,
            "validation": self.validation,
            "start": self.start,
        }


def describe_model(model: BayesianModel) -> dict[str, Any]:
    """Class and constructor arguments of a model, or the reason why it has no description."""
    name = type(model).__name__
    try:
        with random_state_kept():  # a description is tried out by building from it
            config = model.config()
    except TypeError as reason:
        return {"class": name, "config": None, "reason": str(reason)}
    try:
        return {"class": name, "config": json.loads(json.dumps(config))}
    except (TypeError, ValueError) as error:
        raise TypeError(f"model: {name}.config() must give JSON values: {error}") from error


def state_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values of tensors."""
    digest = hashlib.sha256()
    for name, tensor in state.items():
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_format(path: Path, content: Mapping[str, Any]) -> None:
    """Raise ValueError unless ``content`` of a ``run.json`` is complete and of our format."""
    found = content.get("format")
    if found != FORMAT:
        versions = content.get("versions")
        version = versions.get("bayesnas") if isinstance(versions, dict) else None
        raise ValueError(
            f"{path} has format {found!r} (written by bayesnas {version or 'of unknown version'}); "
            f"this bayesnas {importlib.metadata.version('bayesnas')} reads format {FORMAT}"
        )
    missing = [part for part in _PARTS if part not in content]
    if missing:
        raise ValueError(f"{path} is damaged: it lacks {', '.join(missing)}")
    for part in ("model", "settings", "data"):
        if not isinstance(content[part], dict):
            raise ValueError(f"{path} is damaged: {part} must be an object, got {content[part]!r}")


def check_same_run(path: Path, held: Mapping[str, Any], run: RunDescription) -> None:
    """Raise ValueError, saying in what they differ, unless ``run`` is the one described.

    Args:
        path: of the ``run.json``, for messages.
        held: its content.
        run: what is asked for.
    """
    check_format(path, held)
    asked = run.to_dict(held["status"])
    for part in ("settings", "data"):
        for name, value in asked[part].items():
            # The same numbers may come from another place: fingerprints tell.
            if held[part].get(name) != value and name != "source":
                raise ValueError(
                    f"resume: {path} has {part} {name}={_short(held[part].get(name))}, "
                    f"got {name}={_short(value)}"
                )
    check_same_model(path, held["model"], run.model)
    for part, what in (("fingerprint", "training"), ("validation", "validation")):
        if held[part] != asked[part]:
            raise ValueError(f"resume: the run of {path} was on other {what} data than given")
    if held["status"] != "finished" and _other_start(held["start"], run.start):
        raise ValueError(
            f"resume: the model given starts from other values than that of {path}: the net's "
            "own weights, or parameters that no reset_parameters draws anew, are not the same"
        )


def _other_start(held: str, asked: str) -> bool:
    # Another kind of device draws other numbers; that says nothing of the model.
    return held.partition(":")[0] == asked.partition(":")[0] and held != asked


def check_same_model(path: Path, held: Mapping[str, Any], model: BayesianModel) -> None:
    """Raise ValueError, saying in what they differ, unless ``model`` is built as described."""
    asked = describe_model(model)
    if held.get("class") != asked["class"]:
        raise ValueError(
            f"model: the run of {path} has a {held.get('class')}, got {asked['class']}"
        )
    before, now = held.get("config"), asked["config"]
    if before == now:
        return
    if not (isinstance(before, dict) and isinstance(now, dict)):
        described = "can't be described" if now is None else "can be described"
        raise ValueError(f"model: the run of {path} is of another model, the one given {described}")
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            raise ValueError(
                f"model: the run of {path} has {name}={_short(before.get(name))}, "
                f"got {name}={_short(now.get(name))}"
            )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
