"""A call that works, and what else would be right in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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
