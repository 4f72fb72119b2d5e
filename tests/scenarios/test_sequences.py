"""Recurrent and attention nets with posteriors on all weights are as good as deterministic ones."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

import bayesnas as bn

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "sequences.py"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sequences():
    return runpy.run_path(str(SCRIPT))


@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_a_posterior_is_within_a_point_of_its_twin(sequences, name, tmp_path):
    """By 5.5 standard errors of the difference of two classifiers on the same rows (McNemar)."""
    task = sequences["task"](name)
    task = task._replace(options=task.options | {"epochs": 40 if name == "lstm" else 5})
    twin = sequences["fitted"](task, 0, None)
    post = sequences["fitted"](task, 0, task.kl_weight)
    assert "point estimates" not in bn.models.GaussianNet(sequences["RowByRow"]()).describe()
    test = task.parts["test"]
    one, other = (sequences["right"](each, test).double() for each in (twin, post))
    error = (one - other).std().item() / len(one) ** 0.5
    assert (other - one).mean().item() > -0.01 - 5.5 * error
    chance = max(torch.bincount(test.y).tolist()) / len(test)
    assert other.mean().item() > chance + 5.5 * (0.25 / len(one)) ** 0.5

    half = post.prune(fraction=0.5)
    kept = half.complexity()
    assert kept["parameters_kept"] <= 0.5 * kept["parameters"] + 1
    pruned = sequences["right"](half, test).double()
    error = (pruned - other).std().item() / len(one) ** 0.5
    assert (pruned - other).mean().item() > -0.03 - 5.5 * error

    few = test.first(5)
    tree = half.to_arviz(2, few)
    assert set(tree["posterior"].data_vars) == set(half.model.layers.shapes)
    expected = few.x.tensors if isinstance(few.x, bn.data.Inputs) else {"x": few.x}
    assert set(tree["constant_data"].data_vars) == set(expected)
    for key, value in expected.items():
        assert np.array_equal(tree["constant_data"][key].values, value.numpy())
    half.save(tmp_path / "run")
    loaded = bn.load(tmp_path / "run", model=half.model)
    assert torch.equal(loaded.predict(few.x, draws=2), half.predict(few.x, draws=2))
