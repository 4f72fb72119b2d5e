"""A parser that says what an option it does not know is near to."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from bayesnas.words import did_you_mean


class CommandParser(argparse.ArgumentParser):
    """Refuses unknown words itself, not the parser around it, with the nearest of its options.

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
        option = next((word.partition("=")[0] for word in unknown if word.startswith("--")), "")
        return did_you_mean(option, set(self._option_string_actions) - {"--help"})
