"""Values of options that no command takes, refused before torch is imported."""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bayesnas.checks import (
    draw_count,
    fraction_in,
    non_negative,
    positive,
    seed_number,
    size,
    whole_number,
)
from bayesnas.cli.arguments.names import CHOICES, MODELS, RUN
from bayesnas.files import check_writable
from bayesnas.words import check_options_of_files, data_file, did_you_mean

_RANGES: dict[str, Callable[[str, Any], object]] = {
    **dict.fromkeys(("epochs", "steps", "restarts", "patience", "seeds"), whole_number),
    **dict.fromkeys(("checkpoint_every", "log_every", "latents"), whole_number),
    **dict.fromkeys(("lr", "clip", "mass", "noise_scale"), positive),
    **dict.fromkeys(("kl_weights", "kl_weight", "likelihood_weight"), non_negative),
    **dict.fromkeys(("kl_weight_upper", "tolerance"), non_negative),
    **dict.fromkeys(("test", "validation"), functools.partial(fraction_in, interval="[0, 1)")),
    "batch_size": size,
    "draws": functools.partial(draw_count, least=0),
    "kept": functools.partial(fraction_in, interval="(0, 1]"),
    "kl_warmup": fraction_in,
    "knots": functools.partial(whole_number, least=2),
    "level": functools.partial(fraction_in, interval="(0, 1)"),
    "seed": seed_number,
    "split_seed": functools.partial(whole_number, least=0),
}


_PLACES = ("out", "picture", "csv", "compact", "encode", "storage")
_INTO_A_FOLDER = ("fit", "search", "sweep", "prune", "reproduce")
_INTO_THE_RUN = ("frontier", "report", "export", "compress")
"""Commands that write beside the run where they are told no other place."""


def check_values(args: argparse.Namespace) -> None:
    """Refuse numbers outside their range, and names, files and runs that are not there.

    Raises:
        ValueError: naming the option.
        FileNotFoundError: naming the file or folder.
        OSError: naming the option and the place that can't be written.
    """
    _check_model(getattr(args, "model", None))
    for name, value in vars(args).items():
        if name in _RANGES:
            for each in _numbers(value):
                _RANGES[name](name, each)
        elif name in CHOICES and value is not None and value not in CHOICES[name]:
            known = ", ".join(CHOICES[name])
            hint = did_you_mean(value, CHOICES[name])
            raise ValueError(f"{name} must be one of {known}, got {value!r}{hint}")
    _check_data(args)
    _check_places(args)
    for folder in (*_folders(args), *getattr(args, "separate", ())):
        if not (folder / RUN).exists():
            raise FileNotFoundError(f"{folder} holds no run: {RUN} is missing")


def _numbers(value: Any) -> Iterable[Any]:
    """Numbers of an option: one, several, or none of what is not given or has been looked at."""
    if isinstance(value, list):
        return value
    return () if value is None or isinstance(value, (str, tuple)) else (value,)


def _check_model(name: str | None) -> None:
    """Raise ValueError for a model that nobody knows.

    Installed packages bring models of their own, and a program that calls this may have registered
    some: then the registry answers, which needs torch.
    """
    known = {*MODELS, *MODELS.values()}
    if name is None or name in known or "bayesnas.models.registry" in sys.modules:
        return
    if not importlib.metadata.entry_points(group="bayesnas.models"):
        hint = did_you_mean(name, known, cutoff=0.4)
        raise ValueError(f"model must be one of {sorted(MODELS)}, got {name!r}{hint}")


def _check_data(args: argparse.Namespace) -> None:
    data = getattr(args, "data", None)
    if data is None:
        return
    if isinstance(data, Path):  # rows for a run that is there
        if not data.is_file():
            raise FileNotFoundError(f"there is no data file {data}")
    elif data_file(data) is None:
        check_options_of_files(
            data, {name: vars(args)[name] for name in ("task", "target", "drop")}
        )


def _check_places(args: argparse.Namespace) -> None:
    """Refuse places where a result could not be written, before it is computed."""
    places = {name: getattr(args, name, None) for name in _PLACES}
    if places["out"] is None and args.command in _INTO_THE_RUN and _folders(args):
        places["RUN"] = _folders(args)[0]
    kind, _, log = (getattr(args, "log", None) or "").partition(":")
    if kind in ("csv", "tensorboard"):
        places["log"] = Path(log)
    for name, path in places.items():
        if isinstance(path, Path):
            check_writable(name, path)
            if name == "out" and args.command in _INTO_A_FOLDER and path.is_file():
                raise ValueError(f"out must be a folder, got the file {path}")


def _folders(args: argparse.Namespace) -> list[Path]:
    """Of finished runs that a command reads."""
    folder = getattr(args, "run_folder", None)
    return [*([] if folder is None else [folder]), *getattr(args, "runs", ())]
