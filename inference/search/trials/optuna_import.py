"""Optuna, where it is installed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


def import_optuna() -> ModuleType:
    """The package.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ValueError(
            "a search by trials needs optuna, got none: pip install 'bayesnas[search]'"
        ) from error
    return optuna


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """No log of single trials, and no word on what is experimental, inside the block."""
    optuna = import_optuna()
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
