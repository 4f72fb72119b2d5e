"""Dotted names of parameters and tensors: made, and chosen by their beginning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor


def dotted(module: str, leaf: str) -> str:
    """Name of a leaf of a module; the net itself has the name ``""``.

    >>> dotted("encoder.0", "weight"), dotted("", "weight")
    ('encoder.0.weight', 'weight')
    """
    return f"{module}.{leaf}" if module else leaf


def begins(name: str, beginning: str) -> bool:
    """Whether a dotted name is ``beginning`` or lies below it.

    >>> begins("structural.gamma.logits", "structural"), begins("structure", "struct")
    (True, False)
    """
    return name == beginning or name.startswith(f"{beginning}.")


def matching(names: Iterable[str], beginnings: Sequence[str], argument: str) -> list[str]:
    """The names below any of some beginnings.

    Args:
        names: dotted names.
        beginnings: such as ``structural``; each has to be that of a name.
        argument: that they come from, for messages.

    Raises:
        ValueError: for one that is the beginning of no name.
    """
    names = list(names)
    for beginning in beginnings:
        if not any(begins(name, beginning) for name in names):
            raise ValueError(
                f"{argument} must name trainable parameters or the first parts of their names, "
                f"got {beginning!r}; there are {_short(names)}"
            )
    return [name for name in names if any(begins(name, b) for b in beginnings)]


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _short(names: Sequence[str]) -> str:
    shown = list(names[:8])
    return str(shown) if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
