"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pyro
import pytest


@pytest.fixture(autouse=True)
def fixed_seed():
    """The same random numbers in a test whatever ran before it."""
    pyro.set_rng_seed(0)


@pytest.fixture
def mnist_root() -> Path:
    return _shared_root("MNIST")


@pytest.fixture
def fashion_mnist_root() -> Path:
    return _shared_root("FashionMNIST")


def _shared_root(folder: str) -> Path:
    root = os.environ.get("BAYESNAS_DATA")
    if not root:
        pytest.skip("BAYESNAS_DATA is not set")
    if not (Path(root) / folder / "raw").is_dir():
        pytest.skip(f"BAYESNAS_DATA has no {folder}/raw")
    return Path(root)
