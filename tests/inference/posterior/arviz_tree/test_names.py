"""Names of dims and labels along them, wherever they are known or given."""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer.autoguide import AutoNormal
from torch import nn

import bayesnas as bn

FEATURES = ["age", "bmi", "dose"]


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 3, generator=generator)
    y = x[:, 0] + 0.1 * torch.randn(12, generator=generator)
    return bn.data.from_arrays(x, y, test=0.0, feature_names=FEATURES).train


@pytest.fixture(scope="module")
def regression(data):
    return bn.fit(bn.models.ArdRegression(3), data, steps=20, restarts=2, progress=False)


def test_what_a_regression_learns_as_numbers_predicts_with_its_weights(regression, data) -> None:
    tree = regression.to_arviz(3, data)
    learned = tree["point_estimates"].to_dataset()
    assert set(learned) == {"intercept", "centre", "noise_scale", "prior_scale"}
    assert learned["prior_scale"]["feature"].values.tolist() == FEATURES
    model = regression.chain(1).model
    mean = (model.centre, model.coefficients(), model.offset().detach())
    means = (learned["centre"][1], mean[1].numpy(), learned["intercept"][1])
    predicted = means[2].values + (data.x.numpy() - means[0].values) @ means[1]
    assert predicted == pytest.approx(model.plain_module()(data.x).detach().numpy()[:, 0], abs=1e-5)
    scale = model.likelihood.noise_scale.item()
    assert float(learned["noise_scale"][1]) == pytest.approx(scale)


def test_the_structure_of_every_chain_is_in_the_tree(regression, data) -> None:
    inclusion = regression.to_arviz(3)["structure"]["inclusion"]
    assert inclusion.dims == ("chain", "feature")
    for chain in range(2):
        alone = regression.chain(chain).structure()["inclusion"]
        assert np.array_equal(inclusion[chain], alone)
        assert inclusion["feature"].values.tolist() == alone["feature"].values.tolist()


def test_edges_and_operations_have_their_names() -> None:
    hidden = {"line": nn.Linear(3, 2), "curve": nn.Sequential(nn.Linear(3, 2), nn.ReLU())}
    graph = bn.nn.Graph(
        {("x", "h"): hidden, ("h", "y"): nn.Linear(2, 2)}, example=torch.zeros(1, 3)
    )
    data = (torch.zeros(4, 3), torch.arange(4) % 2)
    post = bn.fit(bn.models.LatentStructureNet(graph), data, steps=2, progress=False)
    gamma = post.to_arviz(2)["posterior"]["gamma"]
    assert gamma["gamma.operation"].values.tolist() == ["line", "curve"]
    assert gamma["gamma.edge"].values.tolist() == ["x->h"]


def test_given_names_go_before_the_usual_ones(regression, data) -> None:
    names = {"weight": ["covariate"], "y": ["patient"]}
    people = [f"p{i}" for i in range(12)]
    tree = regression.to_arviz(2, data, dims=names, coords={"patient": people})
    weight = tree["posterior"]["weight"]
    assert weight.dims == ("chain", "draw", "covariate")
    assert weight["covariate"].values.tolist() == FEATURES  # labels stay
    for group in ("observed_data", "log_likelihood", "posterior_predictive"):
        assert tree[group]["patient"].values.tolist() == people
    assert tree["constant_data"]["x"].dims == ("patient", "x_dim_1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": {"wight": ["a"]}}, "dims must name dimensions of .*got those of 'wight'"),
        ({"dims": {"weight": ["a", "b"]}}, r"dims\['weight'\] must name 1 dimensions"),
        ({"coords": {"featur": FEATURES}}, "coords must label dimensions out of .*got 'featur'"),
        ({"coords": {"feature": FEATURES[:2]}}, r"coords\['feature'\] must have 3 labels, got 2"),
    ],
)
def test_names_of_what_is_not_there_are_refused(regression, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        regression.to_arviz(2, **options)


def test_sites_of_a_pyro_pair_have_the_names_of_their_plates() -> None:
    def model(x, y=None):
        with pyro.plate("hospital", 3):
            slope = pyro.sample("slope", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal((x @ slope.T).sum(-1), 1.0), obs=y)

    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    pair = bn.models.PyroPair(model, AutoNormal(model))
    tree = bn.fit(pair, (x, x[:, 0]), steps=2, progress=False).to_arviz(2, prior_draws=2)
    for group in ("posterior", "prior"):
        assert tree[group]["slope"].dims == ("chain", "draw", "hospital", "slope_dim_1")
