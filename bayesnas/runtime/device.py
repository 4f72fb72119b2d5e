"""Devices."""

from __future__ import annotations

import torch
from torch import Tensor

from bayesnas.checks import shown


def device_of(device: object) -> torch.device:
    """Any device that torch knows, whether or not it is there.

    Raises:
        ValueError: torch knows no such device.

    >>> device_of("meta")
    device(type='meta')
    """
    try:
        return torch.device(device)  # type: ignore[call-overload, no-any-return]
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda', got {shown(device)}") from error


def resolve_device(device: str | torch.device) -> torch.device:
    """Turn ``"auto"``, ``"cpu"``, ``"cuda"`` or a torch device into a device that is there.

    Raises:
        ValueError: for an unknown device, or a GPU that this machine does not have.

    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    resolved = device_of(device)
    if resolved.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda', got {str(device)!r}")
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device must be one that is there: got {str(device)!r}, but torch finds no GPU "
            "(device='auto' falls back to the CPU)"
        )
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device must be below cuda:{torch.cuda.device_count()}, got {str(device)!r}"
        )
    return resolved


def sent(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device, without waiting for the device.

    >>> sent(torch.ones(2), torch.device("cpu"))
    tensor([1., 1.])
    """
    if device.type != "cuda":
        return values
    return values.pin_memory().to(device, non_blocking=True)
