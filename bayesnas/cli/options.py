"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import bayesnas as bn
from bayesnas.checks import path_of, whole_number
from bayesnas.data import DataSet
from bayesnas.distributions import LogUniform
from bayesnas.nn import PiecewiseMap

_DATA_OPTIONS = ("root", "target", "task", "test", "validation", "split_seed", "standardise")


def add_data_options(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    """The data set, and how it is read and split; see ``bayesnas.data.load``.

    Args:
        parser: gets the options.
        default: name of the data set where none is given; None: the one of the run.
    """
    group = parser.add_argument_group("data")
    where = "as stored with the run" if default is None else default
    group.add_argument(
        "--data",
        default=default,
        metavar="NAME|PATH",
        help=f"{', '.join(bn.data.available())}, or a .npz or .csv file (default: {where})",
    )
    group.add_argument(
        "--root",
        metavar="DIR",
        help="folder of downloaded sets (default: BAYESNAS_DATA, or the user's cache)",
    )
    group.add_argument("--target", metavar="COLUMN", help="column of a .csv to predict (the last)")
    group.add_argument(
        "--task", choices=("classification", "regression"), help="of a file (by its targets)"
    )
    group.add_argument(
        "--test",
        type=float,
        metavar="FRACTION",
        help="rows held out for testing (0.2, or the part that the set brings)",
    )
    group.add_argument(
        "--validation", type=float, metavar="FRACTION", help="rows held out for validation (none)"
    )
    group.add_argument("--split-seed", type=int, metavar="N", help="of the split (0)")
    group.add_argument(
        "--standardise",
        action="store_true",
        default=None,
        help="give every input, and the target of a regression, mean 0 and variance 1",
    )


def load_data(args: argparse.Namespace) -> DataSet:
    """The data set that the options name."""
    if args.split_seed is not None:
        whole_number("split_seed", args.split_seed, 0)
    return bn.data.load(
        args.data,
        root=args.root,
        target=args.target,
        task=args.task,
        test=args.test,
        validation=args.validation or 0.0,
        seed=args.split_seed or 0,
        standardise=bool(args.standardise),
    )


def data_options_given(args: argparse.Namespace) -> list[str]:
    """Options of :func:`add_data_options` besides ``--data`` that stand on the command line."""
    given = [name for name in _DATA_OPTIONS if getattr(args, name) is not None]
    return [f"--{name.replace('_', '-')}" for name in given]


def add_draws_option(parser: argparse.ArgumentParser) -> None:
    """How many draws of the weights metrics are averaged over."""
    parser.add_argument(
        "--draws",
        type=int,
        default=32,
        metavar="N",
        help="draws of the weights behind the metrics; 0: posterior means (%(default)s)",
    )


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """How a command speaks."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress and no messages")


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Where to compute."""
    parser.add_argument(
        "--device", default="auto", help="auto (a GPU where there is one), cpu, cuda (%(default)s)"
    )


def add_encode_option(parser: argparse.ArgumentParser) -> None:
    """A file of few bytes to write a network to."""
    parser.add_argument(
        "--encode",
        type=path_word,
        metavar="FILE",
        help="write the plain network in few bytes, read by bayesnas.decode",
    )


def encoded(path: Path | None, size: int | None) -> dict[str, Any] | None:
    """What is said of such a file in JSON."""
    return None if path is None else {"path": str(path), "bytes": size}


def widths(text: str) -> list[int]:
    """Widths from ``"300,100"``; none from ``"none"``.

    >>> widths("300,100"), widths("none")
    ([300, 100], [])
    """
    if text == "none":
        return []
    return [_whole(word) for word in text.split(",")]


def prior_scale(text: str) -> float | list[float] | str:
    """A prior scale: a number, one a layer with commas between, ``learned`` or ``ard``.

    >>> prior_scale("0.1"), prior_scale("1,0.5"), prior_scale("learned")
    (0.1, [1.0, 0.5], 'learned')
    """
    if text in ("learned", "ard"):
        return text
    try:
        scales = [float(word) for word in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"must be a number, one a layer with commas between, 'learned' or 'ard', got {text!r}"
        ) from error
    return scales[0] if len(scales) == 1 else scales


def inclusion(text: str) -> float | str:
    """A prior probability, or ``learned``.

    >>> inclusion("0.1"), inclusion("learned")
    (0.1, 'learned')
    """
    if text == "learned":
        return text
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a number or 'learned', got {text!r}") from error


def kl_weight(text: str) -> float | LogUniform:
    """A KL weight, or a range of them with a colon between its ends.

    >>> kl_weight("0.5")
    0.5
    >>> kl_weight("0.1:100")
    LogUniform(low: 0.1..., high: 100.0)
    """
    try:
        ends = [float(word) for word in text.split(":")]
    except ValueError:
        ends = []
    if len(ends) == 1:
        return ends[0]
    if len(ends) != 2 or not 0 < ends[0] < ends[1] < math.inf:
        raise argparse.ArgumentTypeError(
            f"must be a number, or a range LOW:HIGH with 0 < LOW < HIGH, got {text!r}"
        )
    return LogUniform(ends[0], ends[1])


def amortize_of(args: argparse.Namespace) -> str | PiecewiseMap | None:
    """How the parameters depend on λ, by ``--amortize`` and ``--knots``.

    Raises:
        ValueError: where they do not go with each other or with ``--kl-weight``.
    """
    ranged = isinstance(args.kl_weight, LogUniform)
    for name, value in (("amortize", args.amortize), ("knots", args.knots)):
        if value is not None and not ranged:
            raise ValueError(
                f"{name} needs a range of KL weights, as in --kl-weight 0.1:100, "
                f"got --kl-weight {args.kl_weight:g}"
            )
    if args.knots is None:
        return args.amortize  # type: ignore[no-any-return]
    if args.amortize not in (None, "piecewise"):
        raise ValueError(f"knots needs --amortize piecewise, got --amortize {args.amortize}")
    whole_number("knots", args.knots, 2)
    return PiecewiseMap(knots=args.knots)


def settings_of(args: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    """Options by name, as keyword arguments."""
    return {name: getattr(args, name) for name in names}


def _whole(word: str) -> int:
    if not (word.isdecimal() and int(word) >= 1):
        raise argparse.ArgumentTypeError(
            f"must be whole numbers >= 1, as in '300 100' or '300,100', or 'none', got {word!r}"
        )
    return int(word)


def path_word(text: str) -> Path:
    """A path, its ``~`` replaced; argparse names the option where it is none."""
    try:
        return path_of("it", text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("it ")) from error
