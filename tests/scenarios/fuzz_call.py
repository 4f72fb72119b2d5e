"""A call that works, and what else would be right in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Good = Callable[[Any], bool]


@dataclass
class Call:
    """A call that works, and for each argument what else would be right."""

    name: str
    call: Callable[..., Any]
    given: dict[str, Any]
    good: dict[str, Good] = field(default_factory=dict)
