"""Errors and warnings of the library in the words of the command line."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import torch

from bayesnas.cli.output import note
from bayesnas.inference import NonFiniteLossError
from bayesnas.inference.runtime.interrupt import InterruptedFitWarning

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130

_NO_OPTIONS = {"run", "command", "json", "quiet", "run_folder", "model", "data"}


def guarded(command: Callable[[], int], args: argparse.Namespace, argv: Sequence[str]) -> int:
    """Exit code of a command; what goes wrong is said in a line on stderr, without a traceback."""
    try:
        with _warnings_in_a_line(args):
            return command()
    except (KeyboardInterrupt, InterruptedFitWarning) as stop:
        return _interrupted(stop, args, argv)
    except BrokenPipeError:  # `bayesnas models | head -1`
        # The interpreter flushes stdout once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except NonFiniteLossError as error:
        return _failed(error, args, FAILED)
    except (torch.OutOfMemoryError, MemoryError) as error:
        return _failed(error, args, FAILED)
    except (ValueError, TypeError, OSError, OverflowError) as error:
        return _failed(error, args, BAD_INPUT)


def in_option_words(message: str, options: Sequence[str]) -> str:
    """A message about arguments of Python as one about options of the command line.

    >>> in_option_words("batch_size must be a whole number >= 1, got 0", ["batch_size"])
    '--batch-size must be a whole number >= 1, got 0'
    >>> in_option_words("give another folder, or resume=True to go on", ["resume"])
    'give another folder, or --resume to go on'
    >>> in_option_words("a smaller lr or clip= may help with kl_weight=2", ["kl_weight", "clip"])
    'a smaller lr or --clip may help with --kl-weight=2'
    """
    for name in options:
        flag = f"--{name.replace('_', '-')}"
        message = re.sub(rf"^{name}(?= must| needs|:)", flag, message)
        message = re.sub(rf"(?<![\w/.=-]){name}=(True\b|(?=[\s,.;)]|$))", flag, message)
        message = re.sub(rf"(?<![\w/.=-]){name}=", f"{flag}=", message)
    return message


def _options(args: argparse.Namespace) -> list[str]:
    return [name for name in vars(args) if name not in _NO_OPTIONS]


def _failed(error: BaseException, args: argparse.Namespace, code: int) -> int:
    # str of an OSError hides its message behind "[Errno 28] ...".
    text = error.strerror if isinstance(error, OSError) and error.filename is None else None
    message = " ".join((text or str(error) or type(error).__name__).split())
    note(f"bayesnas: error: {in_option_words(message, _options(args))}")
    return code


def _interrupted(stop: BaseException, args: argparse.Namespace, argv: Sequence[str]) -> int:
    reason = str(stop).split(";")[0].split(": this is")[0]
    note(f"bayesnas: {reason if reason.startswith(('stopped', 'interrupted')) else 'interrupted'}")
    if args.command == "reproduce":
        note(f"go on with: {shlex.join(['bayesnas', *argv])}")
    elif args.command == "fit" and args.out is not None:
        again = shlex.join(["bayesnas", *(word for word in argv if word != "--resume"), "--resume"])
        note(f"go on with: {again}")
    elif args.command == "fit":
        note("nothing is saved: with --out DIR a fit can be resumed")
    return INTERRUPTED


@contextmanager
def _warnings_in_a_line(args: argparse.Namespace) -> Iterator[None]:
    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> Any:
        note(f"bayesnas: warning: {in_option_words(str(message), _options(args))}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        warnings.simplefilter("error", InterruptedFitWarning)
        yield
