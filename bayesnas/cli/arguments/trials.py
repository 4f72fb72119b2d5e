"""Options of the commands that fit many models: what varies, and where trials are kept."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

from bayesnas.cli.arguments.names import MAXIMISED, MEASURES
from bayesnas.cli.arguments.values import path_word
from bayesnas.words import did_you_mean

FIT_WORDS_NOT_VARIED = ("out", "resume", "config", "json", "quiet", "draws", "help")


class Varied(NamedTuple):
    """An option of ``bayesnas fit`` that varies.

    Attributes:
        name: as on the command line, without hyphens in front; ``model`` for the model.
        words: its values, where they are counted.
        low, high: ends of a range, where they are not.
        scale: of a range: ``linear``, ``log`` or ``int``.
    """

    name: str
    words: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    scale: str = ""


def varied(text: str) -> Varied:
    """What varies, from ``NAME=A,B,C``, ``NAME=A|B`` or ``NAME=LOW:HIGH[:log|:int]``.

    >>> varied("seed=0,1,2")
    Varied(name='seed', words=('0', '1', '2'), low=0.0, high=0.0, scale='')
    >>> varied("hidden=50|300,100").words
    ('50', '300,100')
    >>> varied("lr=1e-4:0.1:log")
    Varied(name='lr', words=(), low=0.0001, high=0.1, scale='log')
    """
    name, equals, values = text.partition("=")
    name = name.strip().removeprefix("--").replace("_", "-")
    if not equals or not name or not values:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUES, got {text!r}")
    if name in FIT_WORDS_NOT_VARIED:
        raise argparse.ArgumentTypeError(f"can't vary {name!r}, which is of all trials")
    if ":" in values and "|" not in values:
        return _range(text, name, values.split(":"))
    words = tuple(word.strip() for word in values.split("|" if "|" in values else ","))
    if not all(words) or len(set(words)) < len(words):
        raise argparse.ArgumentTypeError(f"must have different values, got {text!r}")
    return Varied(name, words)


def _range(text: str, name: str, parts: Sequence[str]) -> Varied:
    scale = parts[2] if len(parts) == 3 else "linear"
    try:
        low, high = float(parts[0]), float(parts[1])
        right = len(parts) in (2, 3) and scale in ("linear", "log", "int") and low < high
        right &= scale != "log" or low > 0
        right &= scale != "int" or (low.is_integer() and high.is_integer())
    except (ValueError, IndexError):
        right = False
    if not right:
        raise argparse.ArgumentTypeError(
            f"must be NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=LOW:HIGH:int with LOW < HIGH, got "
            f"{text!r}"
        )
    return Varied(name, (), low, high, scale)


def objective_names(text: str) -> dict[str, str]:
    """Objectives and their directions, from names with commas between.

    >>> objective_names("error,parameters")
    {'error': 'minimise', 'parameters': 'minimise'}
    """
    names = text.split(",")
    for name in names:
        if name not in MEASURES:
            hint = did_you_mean(name, MEASURES)
            raise argparse.ArgumentTypeError(
                f"must be of {', '.join(MEASURES)}, got {name!r}{hint}"
            )
    if len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"must be different, got {text!r}")
    return {name: "maximise" if name in MAXIMISED else "minimise" for name in names}


def add_trial_options(parser: argparse.ArgumentParser, *, objective: str) -> None:
    """What varies, how a trial is judged, where trials are kept and who makes them.

    Args:
        parser: gets the options.
        objective: where none is given.
    """
    parser.add_argument(
        "--vary",
        action="append",
        type=varied,
        default=[],
        metavar="NAME=VALUES",
        help="an option of bayesnas fit, or model: A,B,C or A|B, or LOW:HIGH with :log or :int "
        "behind it; as often as needed",
    )
    parser.add_argument(
        "--graph",
        type=path_word,
        metavar="FILE",
        help="JSON of bayesnas.nn.Graph.to_dict(): the operation on every mixed edge varies",
    )
    parser.add_argument(
        "--objective",
        type=objective_names,
        default=objective_names(objective),
        metavar="NAME",
        help=f"one, or several with commas between: {', '.join(MEASURES)} ({objective})",
    )
    parser.add_argument(
        "--part",
        choices=("validation", "test"),
        default="validation",
        help="that is judged (validation; of a fit without, a fifth of the training rows)",
    )
    parser.add_argument(
        "--draws", type=int, default=32, metavar="N", help="of the weights (%(default)s)"
    )
    parser.add_argument(
        "--out",
        type=path_word,
        metavar="DIR",
        required=True,
        help="folder of the study, of a run folder a trial, of table and plots",
    )
    parser.add_argument(
        "--storage",
        metavar="PATH|URL",
        help="of the trials: a .db or .journal file, or a database (study.journal in --out)",
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes (%(default)s)"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the study, or join it from another machine, the other options as before",
    )
    parser.add_argument(
        "fit",
        nargs=argparse.ONE_OR_MORE,
        metavar="FIT",
        help="after --: what stands behind bayesnas fit, as in -- gaussian-net --epochs 20",
    )
