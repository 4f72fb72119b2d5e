"""Loggers as the command line names them."""

from __future__ import annotations

from typing import Any

from bayesnas.checks import flag, shown
from bayesnas.loggers.base import Logger
from bayesnas.loggers.csv_file import CSVLogger
from bayesnas.loggers.mlflow import MLflowLogger
from bayesnas.loggers.tensorboard import TensorBoardLogger


def logger_of(word: str, *, append: bool = False, **options: Any) -> Logger:
    """The logger that ``"csv:FILE"``, ``"tensorboard:DIR"`` or ``"mlflow:URI"`` names.

    Args:
        word: kind and place; ``"mlflow"`` alone writes to where MLflow is set up to.
        append: go on with a file that is there.
        options: of every :class:`Logger`.

    Raises:
        ValueError: for another kind, or a kind without its place.
        ImportError: the package that it needs is not installed.
        TypeError: naming an argument of another type.

    >>> logger_of("csv:course.csv").path.name
    'course.csv'
    """
    flag("append", append)
    if not isinstance(word, str):
        raise TypeError(f"word must be csv:FILE, tensorboard:DIR or mlflow:URI, got {shown(word)}")
    kind, _, place = word.partition(":")
    if kind == "mlflow":
        return MLflowLogger(place or None, **options)
    if place and kind == "csv":
        return CSVLogger(place, append=append, **options)
    if place and kind == "tensorboard":
        return TensorBoardLogger(place, **options)
    raise ValueError(f"word must be csv:FILE, tensorboard:DIR or mlflow:URI, got {word!r}")
