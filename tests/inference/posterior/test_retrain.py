"""Discrete networks out of a fitted structure, and their training by themselves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.nn.graphs.darts_operations import Zero

OPTIONS = {"progress": False, "device": "cpu"}


def searched(kl_weight=1.0, **options):
    """Cheap, dear or nothing on an edge; three classes by the largest of three inputs."""
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Linear(4, 40), nn.Tanh(), nn.Linear(40, 3))
    operations = {"wide": wide, "narrow": nn.Linear(4, 3), "skip": nn.Linear(4, 3, bias=False)}
    edges = {("x", "h"): operations, ("h", "y"): nn.Linear(3, 3), ("x", "y"): nn.Linear(4, 3)}
    graph = bn.nn.Graph(edges, example=torch.zeros(1, 4))
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    data = (x, x[:, :3].argmax(1))
    model = bn.models.LatentStructureNet(
        graph, "point-mass", weights="point", cost="parameters", cost_scale=10.0
    )
    return bn.fit(model, data, kl_weight=kl_weight, lr=0.02, **OPTIONS, **options), data


def test_the_architecture_is_a_plain_module_at_the_weights_of_the_search():
    post, (x, _) = searched(steps=30)
    architecture = post.architecture()
    likeliest = int(post.model.probabilities()["x", "h"].argmax())
    assert architecture.names["x", "h"] == (post.model.graph.names["x", "h"][likeliest],)
    gamma = {("x", "h"): torch.eye(3)[likeliest]}
    with torch.no_grad():
        assert torch.allclose(architecture(x), post.model.graph(x, gamma), atol=1e-6)
    assert architecture.parameter_count == sum(p.numel() for p in architecture.parameters())
    assert not architecture.training


def test_an_amortised_search_has_an_architecture_at_every_kl_weight():
    post, data = searched(bn.LogUniform(0.01, 10.0), steps=300)
    sizes = [post.architecture(weight).parameter_count for weight in (0.01, 1.0, 10.0)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]
    assert post.architecture(0.01).names["x", "h"] == ("wide",)
    again = post.retrain(10.0, data, steps=5, **OPTIONS)
    assert again.compact()(data[0]).shape == (60, 3)


def test_edges_with_nothing_on_them_are_left_out():
    edges = {("x", "h"): nn.Linear(4, 4), ("h", "y"): [nn.Identity(), Zero()]}
    graph = bn.nn.Graph({**edges, ("x", "y"): nn.Linear(4, 4)}, example=torch.zeros(1, 4))
    model = bn.models.LatentStructureNet(graph, "point-mass", weights="point")
    model.structural.assign("gamma.logits", torch.tensor([[-1.0, 1.0]]))
    assert model.architecture().edges == (("x", "y"),)
    assert model.architecture().parameter_count == 20
    model.structural.assign("gamma.logits", torch.tensor([[1.0, -1.0]]))
    assert len(model.architecture().edges) == 3


@pytest.mark.parametrize("start", ["scratch", "weights"])
def test_retraining_maximises_the_likelihood(start, tmp_path):
    post, data = searched(steps=20)
    again = post.retrain(data, start=start, steps=300, lr=0.05, **OPTIONS)
    assert list(again.sample(2)) == []
    metrics = again.evaluate(data, draws=1)
    assert metrics["accuracy"] > 0.9
    assert metrics["kl"] == 0.0
    assert metrics["expected_log_lik"] == pytest.approx(-60 * metrics["nll"], rel=1e-4)
    again.save(tmp_path / "run")
    loaded = bn.load(tmp_path / "run")
    assert torch.equal(loaded.compact()(data[0]), again.compact()(data[0]))
    assert again.model.plain_module().names == post.architecture().names


def test_retraining_starts_where_it_is_told_to():
    post, data = searched(steps=20)
    losses = {
        start: float(post.retrain(data, start=start, steps=1, **OPTIONS).history()["loss"][0, 0])
        for start in ("scratch", "weights")
    }
    x, y = data
    with torch.no_grad():
        expected = nn.functional.cross_entropy(post.architecture()(x), y, reduction="sum")
    assert losses["weights"] == pytest.approx(float(expected), rel=1e-4)
    assert losses["scratch"] != pytest.approx(float(expected), rel=1e-2)


class Searched(bn.models.ArdRegression):
    """A user's model that chooses an architecture, and says no likelihood to train it with."""

    def architecture(self):
        return nn.Linear(4, 1)


class SearchedRegression(Searched):
    def likelihood_config(self):
        return {"likelihood": "gaussian", "noise_scale": 0.5}


def test_a_model_of_ones_own_says_the_likelihood_of_its_architecture():
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    data = (x, x[:, 0])
    post = bn.fit(Searched(4), data, steps=2, **OPTIONS)
    with pytest.raises(TypeError, match=r"Searched does not define likelihood_config\(\)"):
        post.retrain(data, steps=2)
    post = bn.fit(SearchedRegression(4), data, steps=2, **OPTIONS)
    again = post.retrain(data, steps=2, **OPTIONS)
    assert again.model.likelihood.config() == {"likelihood": "gaussian", "noise_scale": 0.5}


def test_bad_arguments_are_named():
    post, data = searched(steps=2)
    with pytest.raises(ValueError, match=r"start must be one of \['scratch', 'weights'\]"):
        post.retrain(data, start="middle", steps=2)
    with pytest.raises(ValueError, match="kl_weight has no place in retraining"):
        post.retrain(data, kl_weight=1.0, steps=2)
    plain = bn.fit(bn.models.GaussianNet(bn.nn.mlp([4, 3])), data, steps=2, **OPTIONS)
    for call in (plain.architecture, lambda: plain.retrain(data, steps=2)):
        with pytest.raises(TypeError, match="GaussianNet has no operations to choose"):
            call()
