"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pyro
import pytest


@pytest.fixture(autouse=True)
def fresh_start():
    """The same random numbers and an empty parameter store, whatever test ran before."""
    pyro.set_rng_seed(0)
    pyro.clear_param_store()


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
