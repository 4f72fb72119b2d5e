"""A parser that says what a word it does not know is near to."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from bayesnas.words import did_you_mean


class CommandParser(argparse.ArgumentParser):
    """Refuses unknown words itself, not the parser around it, with the nearest that it knows.

    What is wrong is one line: the usage of a command with fifty options would hide it.

    >>> parser = CommandParser(prog="bayesnas fit")
    >>> _ = parser.add_argument("--hidden")
    >>> parser.nearest(["--hiden=5"])
    "; did you mean '--hidden'?"
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Raise SystemExit where words are left over."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self.nearest(unknown)}")
        return namespace, unknown

    def nearest(self, unknown: Sequence[str]) -> str:
        """The end of a message on words of which the first option is to be one of this parser."""
        option = next((word.partition("=")[0] for word in unknown if word.startswith("-")), "")
        if re.fullmatch(r"-[a-z][a-z-]+", option):  # -lr for --lr
            option = f"-{option}"
        return did_you_mean(option, set(self._option_string_actions) - {"-h", "--help"})

    def error(self, message: str) -> NoReturn:
        """Say in a line what is wrong, and where all words are listed."""
        self.exit(2, f"{self.prog}: error: {message}\n{self.prog} --help lists what it takes\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a word that is none of the choices of an option, with the nearest."""
        choices: Iterable[Any] | None = action.choices
        if choices is not None and value not in choices:
            words = [str(choice) for choice in choices]
            raise argparse.ArgumentError(
                action,
                f"invalid choice: {value!r}{did_you_mean(value, words, cutoff=0.5)} "
                f"(choose from {', '.join(words)})",
            )
