from __future__ import annotations

import pytest

import bayesnas as bn


@pytest.fixture(scope="package")
def digits():
    """Few of them: what is asked here does not depend on how good a network is."""
    return bn.data.Split.of(tuple(bn.data.load("digits").train.first(300)))
