"""Whether a stored run is the one that is asked for."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bayesnas.inference.runs.description import FORMAT, RunDescription, describe_model
from bayesnas.inference.runs.schema import check_schema
from bayesnas.models.base import BayesianModel

_PARTS = ("status", "model", "settings", "data", "fingerprint", "validation", "start")


def check_format(path: Path, content: Mapping[str, Any]) -> None:
    """Raise ValueError unless ``content`` of a ``run.json`` is complete and of our format."""
    value = content.get("format")
    if value != FORMAT:
        versions = content.get("versions")
        version = versions.get("bayesnas") if isinstance(versions, dict) else None
        raise ValueError(
            f"{path} has format {value!r} (written by bayesnas {version or 'of unknown version'}); "
            f"this bayesnas {importlib.metadata.version('bayesnas')} reads format {FORMAT}"
        )
    missing = [part for part in _PARTS if part not in content]
    if missing:
        raise ValueError(f"{path} is damaged: it lacks {', '.join(missing)}")
    for part in ("model", "settings", "data"):
        if not isinstance(content[part], dict):
            raise ValueError(f"{path} is damaged: {part} must be an object, got {content[part]!r}")


def check_same_run(path: Path, stored: Mapping[str, Any], run: RunDescription) -> None:
    """Raise ValueError, saying in what they differ, unless ``run`` is the one described.

    Args:
        path: of the ``run.json``, for messages.
        stored: its content.
        run: what is asked for.
    """
    check_format(path, stored)
    check_schema(path, stored)
    asked = run.to_dict(stored["status"])
    check_same_model(path, stored["model"], run.model)  # first: some settings follow from it
    for part in ("settings", "data"):
        for name, before, value in differing(stored[part], asked[part]):
            # How steps are taken may be open, on this machine or that; the checkpoint says it then.
            if name != "compile" or "auto" not in (before, value):
                raise ValueError(
                    f"resume: {path} has {part} {name}={_short(before)}, got {name}={_short(value)}"
                )
    for part, what in (("fingerprint", "training"), ("validation", "validation")):
        if stored[part] != asked[part]:
            raise ValueError(f"resume: the run of {path} was on other {what} data than given")
    if stored.get("weights", "") != asked["weights"]:
        raise ValueError(f"resume: the run of {path} weighted its examples otherwise than given")
    if stored["status"] != "finished" and _other_start(stored["start"], run.start):
        raise ValueError(
            f"resume: the model given starts from other values than that of {path}: the net's "
            "own weights, or parameters that no reset_parameters draws anew, are not the same"
        )


def differing(
    stored: Mapping[str, Any], asked: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """What differs in a part of two descriptions: names with both values.

    The same numbers may come from another place, so the source of data is left out: fingerprints
    tell.
    """
    for name, value in asked.items():
        if stored.get(name) != value and name != "source":
            yield name, stored.get(name), value


def _other_start(stored: str, asked: str) -> bool:
    # Another kind of device draws other numbers; that says nothing of the model.
    return stored.partition(":")[0] == asked.partition(":")[0] and stored != asked


def check_same_model(path: Path, stored: Mapping[str, Any], model: BayesianModel) -> None:
    """Raise ValueError, saying in what they differ, unless ``model`` is built as described."""
    asked = describe_model(model)
    if stored.get("class") != asked["class"]:
        raise ValueError(
            f"model: the run of {path} has a {stored.get('class')}, got {asked['class']}"
        )
    before, now = stored.get("config"), asked["config"]
    types = stored.get("dtype", "float32"), asked.get("dtype", "float32")
    if before is not None and now is not None and types[0] != types[1]:
        raise ValueError(
            f"model: the run of {path} has parameters of {types[0]}, got one of {types[1]}"
        )
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
