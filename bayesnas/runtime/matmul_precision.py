"""Matrix products by the fastest kernels that keep float32's accuracy."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_SHAPES = ((64, 64, 64), (256, 784, 100))
_ERROR = 1e-6  # of Σ|a||b|; float32 leaves some 1e-7, a product in bfloat16 1e-3


@contextmanager
def fast_products(device: torch.device) -> Iterator[None]:
    """Let oneDNN take float32 products on a CPU instead of MKL, where it is as accurate.

    It is up to twice as fast on processors of other makers than MKL's. torch reaches it by
    ``set_float32_matmul_precision("medium")``, which also allows bfloat16, so it stays off
    where a check finds that processor and torch make use of that. A setting of the caller's is
    left alone, and all is as before after the block. The setting belongs to the process.

    Args:
        device: of the products; nothing is changed for a GPU.

    >>> import torch
    >>> with fast_products(torch.device("cpu")):
    ...     product = torch.ones(2, 3) @ torch.ones(3, 2)
    >>> torch.get_float32_matmul_precision()
    'highest'
    """
    if device.type != "cpu" or _precision() != "highest" or not onednn_is_accurate():
        yield
        return
    with _medium_precision():
        yield


@functools.cache
def onednn_is_accurate() -> bool:
    """Whether products under "medium" precision have float32's accuracy on this CPU."""
    generator = torch.Generator().manual_seed(0)
    with _medium_precision():
        for rows, inner, columns in _SHAPES:
            a = torch.randn(rows, inner, generator=generator)
            b = torch.randn(columns, inner, generator=generator).t()  # as a layer's weight
            exact = a.double() @ b.double()
            size = a.double().abs() @ b.double().abs()
            if bool((((a @ b) - exact).abs() > _ERROR * size).any()):
                return False
    return True


def _precision() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # set for one backend alone, by the caller
        return "mixed"


@contextmanager
def _medium_precision() -> Iterator[None]:
    # The setter also writes what was never set for the backends alone.
    mkldnn: Any = torch.backends.mkldnn
    backends = torch.backends.cuda.matmul, mkldnn.matmul
    before = [backend.fp32_precision for backend in backends]
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
