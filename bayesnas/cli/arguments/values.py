"""Types of the values of options."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import NamedTuple

from bayesnas.files import path_of


class KLRange(NamedTuple):
    """A range of KL weights, to be fitted at once."""

    low: float
    high: float


def widths(text: str) -> list[int]:
    """Widths from ``"300,100"``; none from ``"none"``.

    >>> widths("300,100"), widths("none")
    ([300, 100], [])
    """
    if text == "none":
        return []
    return [_whole(word) for word in text.split(",")]


def operation(text: str) -> tuple[str, str]:
    """An edge of a graph and an operation on it.

    >>> operation("x->h=conv-3x3")
    ('x->h', 'conv-3x3')
    """
    edge, equals, name = text.partition("=")
    if not equals or not edge or not name:
        raise argparse.ArgumentTypeError(f"must be EDGE=NAME, as in 'x->h=conv', got {text!r}")
    return edge, name


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


def kl_weight(text: str) -> float | list[float] | KLRange | str:
    """A KL weight, several with commas between, a range with a colon, ``auto``, ``validation``.

    >>> kl_weight("0.5"), kl_weight("0.1,1,10")
    (0.5, [0.1, 1.0, 10.0])
    >>> kl_weight("0.1:100")
    KLRange(low=0.1, high=100.0)
    """
    if text in ("auto", "validation"):
        return text
    separator = ":" if ":" in text else ","
    try:
        numbers = [float(word) for word in text.split(separator)]
    except ValueError:
        numbers = []
    if separator == "," and numbers:
        return numbers[0] if len(numbers) == 1 else numbers
    if len(numbers) != 2 or not 0 < numbers[0] < numbers[1] < math.inf:
        raise argparse.ArgumentTypeError(
            "must be a number, several with commas between, auto, validation, or a range LOW:HIGH "
            f"with 0 < LOW < HIGH, got {text!r}"
        )
    return KLRange(numbers[0], numbers[1])


class MetaparameterRange(NamedTuple):
    """A range of a metaparameter, to be fitted at once."""

    name: str
    low: float
    high: float
    spacing: str


def metaparameter_range(text: str) -> MetaparameterRange:
    """A range of a metaparameter besides λ, on a log scale unless it says ``linear``.

    >>> metaparameter_range("prior_scale=0.1:3")
    MetaparameterRange(name='prior_scale', low=0.1, high=3.0, spacing='log')
    >>> metaparameter_range("noise_scale=0:1:linear").spacing
    'linear'
    """
    name, _, ends = text.partition("=")
    words = ends.split(":")
    spacing = words.pop() if words[-1] in ("linear", "log") else "log"
    try:
        low, high = (float(word) for word in words)
        good = bool(name) and low < high and (low > 0 or spacing == "linear")
    except ValueError:
        good = False
    if not good:
        raise argparse.ArgumentTypeError(
            "must be NAME=LOW:HIGH with 0 < LOW < HIGH, or NAME=LOW:HIGH:linear with LOW < HIGH, "
            f"got {text!r}"
        )
    return MetaparameterRange(name, low, high, spacing)


def metaparameter(text: str) -> tuple[str, float]:
    """The value of a metaparameter besides λ.

    >>> metaparameter("prior_scale=0.3")
    ('prior_scale', 0.3)
    """
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"must be NAME=VALUE, as in prior_scale=0.3, got {text!r}"
        ) from error


def path_word(text: str) -> Path:
    """A path, its ``~`` replaced; argparse names the option where it is none."""
    try:
        return path_of("it", text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("it ")) from error


def _whole(word: str) -> int:
    if not (word.isdecimal() and int(word) >= 1):
        raise argparse.ArgumentTypeError(
            f"must be whole numbers >= 1, as in '300 100' or '300,100', or 'none', got {word!r}"
        )
    return int(word)


def check_log_word(word: str) -> None:
    """Raise ValueError unless a word names a kind of logger, and its place.

    >>> check_log_word("csv:course.csv")
    """
    kind, _, place = word.partition(":")
    if kind != "mlflow" and (kind not in ("csv", "tensorboard") or not place):
        raise ValueError(f"log must be csv:FILE, tensorboard:DIR or mlflow:URI, got {word!r}")
