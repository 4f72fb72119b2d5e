"""The parts of ``reproduce search`` that grow structures: figures, files, going on."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from bayesnas.reproductions import Request
from bayesnas.reproductions.search import PARTS, adanet, add_del, weight_agnostic

SMALL = {
    "weight-agnostic": {
        "data": "digits",
        "validation": 0.2,
        "generations": 3,
        "population": 8,
        "tournament": 2,
        "epochs": 1,
        "seeds": 2,
    },
    "add-del": {
        "features": "diabetes",
        "feature_rises": [0.0, 0.0],
        "neurons": "digits",
        "neuron_rises": [0.0, 0.0],
        "candidates": 1,
        "steps": 2,
        "rows": 40,
        "seeds": 2,
    },
    "adanet": {
        "data": "digits",
        "validation": 0.2,
        "width": 2,
        "most_rounds": 1,
        "epochs": 1,
        "seeds": 2,
    },
}


@pytest.mark.parametrize("name", SMALL)
def test_a_part_writes_its_figures_and_goes_on_with_what_is_there(name, tmp_path):
    said = []
    request = Request(tmp_path, say=said.append)
    first = PARTS[name].run(request, SMALL[name])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    again = PARTS[name].run(request, SMALL[name])
    assert [each.to_dict() for each in again.comparisons] == [
        each.to_dict() for each in first.comparisons
    ]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == before
    assert all(path.stat().st_size > 0 for path in first.files.values())
    assert all(len(each.ours) == 2 for each in first.comparisons)
    table = pd.read_csv(first.files[f"{name}.csv"])
    assert set(table["seed"]) == ({1, 2} if name == "weight-agnostic" else {0, 1})


def test_settings_of_a_quick_run_are_smaller(tmp_path):
    for part in (weight_agnostic, add_del, adanet):
        quick, whole = (part.settings(Request(tmp_path, quick=each)) for each in (True, False))
        assert (
            quick.keys()
            == whole.keys()
            == SMALL[part.__name__.split(".")[-1].replace("_", "-")].keys()
        )
        assert quick["seeds"] == 1 < whole["seeds"]
        assert part.settings(Request(tmp_path, seeds=5))["seeds"] == 5


def test_diabetes_is_split_into_rows_that_are_not_shared():
    train, validation, test = add_del.diabetes(0)
    assert [len(x) for x, _ in (train, validation, test)] == [221, 110, 111]
    assert train[0].shape[1] == 65
    assert torch.allclose(train[0].mean(0), torch.zeros(65).double(), atol=1e-9)
    assert torch.allclose(train[1].std(correction=0), torch.ones(()).double())
    rows = torch.cat([x for x, _ in (train, validation, test)])
    assert len(torch.unique(rows, dim=0)) == 442
