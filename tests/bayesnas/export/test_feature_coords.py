"""Names of columns in structures and exports."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import nn

import bayesnas as bn

NAMES = ["age", "dose", "sex"]
QUICK = {"steps": 3, "progress": False, "compile": False}


@pytest.fixture
def table():
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    return pd.DataFrame(x.numpy(), columns=NAMES), torch.arange(12.0)


@pytest.mark.parametrize(
    ("model", "dim"),
    [
        (bn.models.ArdRegression(3), "feature"),
        (bn.models.GaussianNet(bn.nn.mlp([3, 3, 1]), likelihood="gaussian"), "layer1.in"),
        (bn.models.BayesianCompressionNet(bn.nn.mlp([3, 1]), likelihood="gaussian"), "layer1.in"),
    ],
)
def test_columns_are_named_where_they_lie(table, model, dim):
    post = bn.fit(model, table, **QUICK)
    assert post.structure()[dim].values.tolist() == NAMES
    tree = post.to_arviz(2, data=table)
    assert tree.posterior[dim].values.tolist() == NAMES
    assert tree.constant_data["x_dim_1"].values.tolist() == NAMES
    if "layer2.in" in tree.posterior.dims:  # as long, but of hidden units
        assert tree.posterior["layer2.in"].values.tolist() == [0, 1, 2]


class Backwards(nn.Module):
    def __init__(self):
        super().__init__()
        self.last, self.first = nn.Linear(3, 1), nn.Linear(3, 3)

    def forward(self, x):
        return self.last(self.first(x))


def test_layers_in_another_order_get_no_names(table):
    model = bn.models.GaussianNet(Backwards(), likelihood="gaussian")
    structure = bn.fit(model, table, **QUICK).structure()
    assert not set(structure.coords)
