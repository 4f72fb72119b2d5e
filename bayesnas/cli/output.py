"""What a command gives back, as text for people or JSON for machines."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """The result of a command.

    Attributes:
        text: for people.
        content: the same as JSON values.
        exit_code: of the process.
    """

    text: str
    content: dict[str, Any]
    exit_code: int = 0


def to_json(content: Any) -> str:
    """JSON on several lines; NaN and infinities, which JSON lacks, become null.

    >>> print(to_json({"a": float("nan"), "b": (1, 2)}))
    {
      "a": null,
      "b": [
        1,
        2
      ]
    }
    """
    return json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False)


def encoded(path: Path | None, size: int | None) -> dict[str, Any] | None:
    """What is said in JSON of a network written by ``--encode``."""
    return None if path is None else {"path": str(path), "bytes": size}


def note(text: str, quiet: bool = False) -> None:
    """Say something on stderr, which carries no results."""
    if not quiet:
        sys.stderr.write(f"{text}\n")


def number(value: float) -> str:
    """Four decimals below 100, whole from there on.

    >>> number(0.12345), number(-56789.4), number(float("nan"))
    ('0.1235', '-56,789', 'nan')
    """
    return f"{value:,.4f}" if abs(value) < 100 or math.isnan(value) else f"{value:,.0f}"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
