"""A call that works, what else would be right in its place, and how it ends with what is wrong."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from fuzz_limits import Hang, limited

Good = Callable[[Any], bool]


@dataclass
class Fresh:
    """An argument that is made anew for every call: a path where nothing is yet."""

    make: Callable[[], Any]


@dataclass
class Call:
    """A call that works, and for each argument what else would be right."""

    name: str
    call: Callable[..., Any]
    given: dict[str, Any]
    good: dict[str, Good] = field(default_factory=dict)

    def with_(self, **changed: Any) -> Any:
        """What comes of the call with some arguments changed."""
        arguments = {**self.given, **changed}
        made = {k: v.make() if isinstance(v, Fresh) else v for k, v in arguments.items()}
        return self.call(**made)

    def outcome(self, argument: str, value: Any) -> tuple[str, str]:
        """How the call ends with one argument changed, and what it says.

        "named" is an error that names the argument; "bare" another one, from inside.
        """
        try:
            error = self.error(argument, value)
        except Hang:
            return "hang", ""
        if error is None:
            return "accepted", ""
        said = _said(error)
        kind = isinstance(error, (TypeError, ValueError, OSError))
        named = kind and re.search(rf"(?<![a-z]){argument}(?![a-z])", said) is not None
        return ("named" if named else "bare"), f"{type(error).__name__}: {said[:150]}"

    def error(self, argument: str, value: Any) -> Exception | None:
        """What the call raises with one argument changed; Hang where it takes too long."""
        state = torch.random.get_rng_state()
        try:
            with limited(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.with_(**{argument: value})
        except Exception as error:
            return error
        finally:
            torch.random.set_rng_state(state)
        return None


def _said(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # of a value whose words fail
        return "no words"


def shown(value: Any) -> str:
    """A value in a few words."""
    try:
        return repr(value)[:60]
    except Exception:
        return type(value).__name__
