"""Fixtures that every folder of tests shares.

A test that holds an estimate from draws to its exact value allows 5.5 standard errors: a number is
further off with a probability of 4e-8, so with 25 of them the test fails once in a million seeds.
Where the standard error itself comes from few numbers it allows more, by Student's distribution.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pytest
import torch

from bayesnas.inference.batches import Batches
from bayesnas.inference.session import RandomStream


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed-shift",
        type=int,
        default=0,
        metavar="N",
        help=(
            "add 1000 N to every seed: of fits, predictions and samplers, of each test's own "
            "random numbers, of documentation pages and docstrings. What passes for one N has to "
            "pass for all. Data from a torch.Generator of a test's own, a saved seed and processes "
            "that a test starts stay as they are"
        ),
    )


def _shifted(function: Callable[..., Any], position: int, shift: int) -> Callable[..., Any]:
    """The function with the seed at a position of its arguments shifted, where one is given."""

    def call(*arguments: Any, **options: Any) -> Any:
        given = list(arguments)
        if "seed" in options:
            options["seed"] += shift
        elif len(given) > position:
            seed = given[position]
            if isinstance(seed, list):  # a seed and what tells its streams apart
                given[position] = [seed[0] + shift, *seed[1:]]
            elif isinstance(seed, int):
                given[position] = seed + shift
        return function(*given, **options)

    return call


@pytest.fixture(autouse=True, scope="session")
def seeds_shifted(request: pytest.FixtureRequest) -> Iterator[None]:
    """All that turns a seed into random numbers sees another one under ``--seed-shift``."""
    shift = 1000 * request.config.getoption("--seed-shift")
    with pytest.MonkeyPatch.context() as patch:
        if shift:
            for owner, name, position in (
                (RandomStream, "__init__", 1),
                (Batches, "__init__", 4),
                (torch, "manual_seed", 0),
                (np.random, "default_rng", 0),
            ):
                patch.setattr(owner, name, _shifted(getattr(owner, name), position, shift))
        yield


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
