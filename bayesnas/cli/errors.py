"""Errors and warnings of the library in the words of the command line.

Torch and what needs it are imported where a command already has done so, in functions: words that
make no command are answered without.
"""

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

from bayesnas.cli.output import note
from bayesnas.runtime.launched import launched, speaks

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130

_NO_OPTIONS = {
    *("command", "module", "check", "config_text"),
    *("json", "quiet", "run_folder", "model", "data"),
}


def guarded(command: Callable[[], int], args: argparse.Namespace, argv: Sequence[str]) -> int:
    """Exit code of a command; what goes wrong is said in a line on stderr, without a traceback."""
    try:
        with _warnings_in_a_line(args):
            return command()
    except KeyboardInterrupt as stop:
        return _interrupted(stop, args, argv)
    except BrokenPipeError:  # `bayesnas models | head -1`
        # The interpreter flushes stdout once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except MemoryError as error:
        return _failed(error, args, FAILED)
    except Exception as error:
        if _is_interruption(error):
            return _interrupted(error, args, argv)
        code = _exit_code(error)
        if code is None:
            raise
        return _failed(error, args, code)


def _is_interruption(error: Exception) -> bool:
    module = sys.modules.get("bayesnas.runtime.interrupt")
    return module is not None and isinstance(error, module.InterruptedFitWarning)


def _exit_code(error: Exception) -> int | None:
    """Exit code of an error that a user can do something about, None of any other."""
    if "torch" in sys.modules:
        import torch

        from bayesnas.inference import NonFiniteLossError, ProcessLostError

        failures = NonFiniteLossError, ProcessLostError, torch.OutOfMemoryError
        if isinstance(error, failures):
            return FAILED
    expected = (ValueError, TypeError, OSError, OverflowError)
    return BAD_INPUT if isinstance(error, expected) else None


def in_option_words(message: str, options: Sequence[str]) -> str:
    """A message about arguments of Python as one about options of the command line.

    >>> in_option_words("batch_size must be a whole number >= 1, got 0", ["batch_size"])
    '--batch-size must be a whole number >= 1, got 0'
    >>> in_option_words("give another folder, or resume=True to go on", ["resume"])
    'give another folder, or --resume to go on'
    >>> in_option_words("a smaller lr or clip= may help with kl_weight=2", ["kl_weight", "clip"])
    'a smaller lr or --clip may help with --kl-weight=2'
    >>> in_option_words("leave it out with drop=['id']", ["drop"])
    "leave it out with --drop 'id'"
    """
    for name in options:
        flag = f"--{name.replace('_', '-')}"
        message = re.sub(rf"^{name}(?= must| needs|:)", flag, message)
        message = re.sub(rf"(?<![\w/.=-]){name}=(True\b|(?=[\s,.;)]|$))", flag, message)
        message = re.sub(rf"(?<![\w/.=-]){name}=\[(.*?)\]", rf"{flag} \1", message)
        message = re.sub(rf"(?<![\w/.=-]){name}=", f"{flag}=", message)
    return message


def _options(args: argparse.Namespace) -> list[str]:
    return [name for name in vars(args) if name not in _NO_OPTIONS]


def _failed(error: BaseException, args: argparse.Namespace, code: int) -> int:
    message = " ".join((_text(error) or type(error).__name__).split())
    if _says(message):
        note(f"bayesnas: error: {in_option_words(message, _options(args))}")
    return code


def _text(error: BaseException) -> str:
    """What an error says, without the "[Errno 28] ..." that str puts before that of the system."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"


def _says(message: str) -> bool:
    """Whether this process, of several that may all have this to say, is the one that does."""
    if launched() is None or "torch" not in sys.modules:
        return speaks()
    from bayesnas.runtime.processes.opening import says_first

    return says_first(message)


def _interrupted(stop: BaseException, args: argparse.Namespace, argv: Sequence[str]) -> int:
    reason = str(stop).split(";")[0].split(": this is")[0]
    note(f"bayesnas: {reason if reason.startswith(('stopped', 'interrupted')) else 'interrupted'}")
    if args.command == "reproduce":
        note(f"go on with: {shlex.join(['bayesnas', *argv])}")
    elif args.command == "fit" and getattr(args, "out", None) is not None:
        launch = launched()
        start = ["bayesnas"]
        if launch is not None:  # torchrun takes --log for one of its own, but for the hyphens
            start = ["torchrun", "--nproc-per-node", str(launch.local_size), "-m", "--", *start]
        again = shlex.join([*start, *(word for word in argv if word != "--resume"), "--resume"])
        note(f"go on with: {again}")
    elif args.command == "fit":
        note("nothing is saved: with --out DIR a fit can be resumed")
    return INTERRUPTED


def raise_interruptions() -> None:
    """Raise the warning that Ctrl-C stopped a fit, until warnings are restored."""
    from bayesnas.runtime.interrupt import InterruptedFitWarning

    warnings.simplefilter("error", InterruptedFitWarning)


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
        if speaks():
            note(f"bayesnas: warning: {in_option_words(str(message), _options(args))}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
