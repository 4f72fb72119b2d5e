"""LatentStructureNet: the contract, what it finds, its errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.data import Split
from bayesnas.inference.config.settings import make_settings
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.inference.training.chains.trainer import ChainTrainer
from bayesnas.models.architecture.latent_structure import LatentStructureNet
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream
from bayesnas.testing import ModelContract


def two_layers():
    torch.manual_seed(0)
    hidden = {
        "linear": nn.Linear(4, 6),
        "tanh": nn.Sequential(nn.Linear(4, 6), nn.Tanh()),
        "narrow": nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 6)),
    }
    edges = {("x", "h"): hidden, ("h", "y"): nn.Linear(6, 3), ("x", "y"): nn.Linear(4, 3)}
    return bn.nn.Graph(edges, example=torch.zeros(2, 4))


def classes_data():
    x = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
    return x, x[:, :3].argmax(1)


class TestGumbelSoftmaxContract(ModelContract):
    def make_model(self):
        return LatentStructureNet(two_layers(), cost="parameters", cost_scale=30.0, temperature=1.0)

    def make_data(self):
        return classes_data()


@pytest.mark.slow
class TestLearnedPriorContract(ModelContract):
    def make_model(self):
        return LatentStructureNet(
            two_layers(), structure_prior="learned", prior_scale="ard", temperature=1.0
        )

    def make_data(self):
        return classes_data()


def test_a_learned_prior_of_the_structure_starts_at_the_costs():
    options = {"cost": "parameters", "cost_scale": 4.0}
    fixed = LatentStructureNet(two_layers(), **options)
    learned = LatentStructureNet(two_layers(), structure_prior="learned", **options)
    assert torch.equal(fixed.prior_gamma, learned.prior_gamma)
    assert isinstance(learned.prior_gamma, nn.Parameter)
    assert not isinstance(fixed.prior_gamma, nn.Parameter)
    x, y = classes_data()
    bound_terms(learned, x, y).kl_divergence().backward()
    assert learned.prior_gamma.grad.abs().min() > 0
    assert LatentStructureNet.from_config(learned.config()).prior_parameters() == ("prior_gamma",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structure_prior": "flat"}, "structure_prior must be one of"),
        ({"structure_prior": "learned", "guide": "point-mass"}, "structure_prior must be 'cost'"),
        ({"prior_scale": "ard", "sample": "example"}, "prior_scale must be one a layer for sample"),
    ],
)
def test_priors_that_do_not_fit_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        LatentStructureNet(two_layers(), **options)


@pytest.mark.slow
class TestLogitNormalContract(ModelContract):
    def make_model(self):
        return LatentStructureNet(
            two_layers(), "logit-normal", temperature=1.0, estimator="weight", coupling="conjugate"
        )

    def make_data(self):
        return classes_data()


def test_the_prior_prefers_cheap_operations():
    """P(arg max γ = k) ∝ exp(−n_k / c) for both counts."""
    for cost, counts in (("parameters", (30, 30, 28)), ("multiply-adds", (24, 24, 20))):
        model = LatentStructureNet(two_layers(), cost=cost, cost_scale=4.0)
        (group,) = model.groups
        probs = model.structure_prior(group).base_dist.probs[0]
        weights = np.exp(-np.array(counts) / 4.0)
        assert np.allclose(probs, weights / weights.sum(), atol=1e-6)


def wide_or_narrow():
    """323 parameters or 15."""
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Linear(4, 40), nn.Tanh(), nn.Linear(40, 3))
    options = {"wide": wide, "narrow": nn.Linear(4, 3)}
    graph = bn.nn.Graph({("x", "y"): options}, example=torch.zeros(1, 4))
    return LatentStructureNet(graph, cost="parameters", cost_scale=50.0)


@pytest.mark.slow
def test_a_larger_kl_weight_takes_the_cheaper_operation():
    """In the mean of 16 starts: 0.96 at λ = 3, where that of one start varies by 0.02."""
    options = {"steps": 400, "lr": 0.02, "compile": "trace", "restarts": 16, "batched": True}
    means = {}
    for weight in (0.01, 3.0):
        post = bn.fit(wide_or_narrow(), classes_data(), kl_weight=weight, progress=False, **options)
        chains = [post.chain(c).model.probabilities()["x", "y"][1] for c in range(16)]
        means[weight] = float(torch.stack(chains).mean())
    assert means[3.0] > 0.9
    assert means[3.0] > means[0.01]


@pytest.mark.slow
def test_one_fit_over_a_range_gives_an_architecture_at_every_kl_weight():
    options = {"kl_weight": bn.LogUniform(0.01, 10.0), "amortize": "piecewise", "steps": 800}
    post = bn.fit(
        wide_or_narrow(), classes_data(), lr=0.02, progress=False, compile="trace", **options
    )
    narrow = [post.at(weight).model.probabilities()["x", "y"][1] for weight in (0.01, 10.0)]
    assert narrow[1] > narrow[0]
    assert post.at(10.0).model.architecture().names["x", "y"] == ("narrow",)


def test_structure_names_edges_and_operations():
    model = LatentStructureNet(two_layers())
    inclusion = model.structure()["gamma.inclusion"]
    assert inclusion.dims == ("gamma.edge", "gamma.operation")
    assert list(inclusion["gamma.edge"].values) == ["x->h"]
    assert list(inclusion["gamma.operation"].values) == ["linear", "tanh", "narrow"]


def test_edges_with_different_operations_are_sites_of_their_own():
    edges = {
        ("x", "h"): [nn.Linear(2, 2), nn.Tanh()],
        ("h", "y"): [nn.Linear(2, 2), nn.Tanh(), nn.ReLU()],
        ("x", "y"): [nn.Linear(2, 2), nn.Tanh()],
    }
    model = LatentStructureNet(bn.nn.Graph(edges, example=torch.zeros(1, 2)))
    shapes = {group.site: group.shape for group in model.groups}
    assert sorted(shapes.values()) == [(1, 3), (2, 2)]
    assert set(shapes) == {"gamma0", "gamma1"}


def test_cells_are_fitted_and_give_an_architecture():
    """Batch normalisation, pooling and "none" in a traced step."""
    torch.manual_seed(0)
    graph = bn.nn.cells(["reduction"], channels=2, nodes=1, image=8)
    x = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(16) % 10
    model = LatentStructureNet(graph, cost="parameters", cost_scale=100.0)
    post = bn.fit(model, (x, y), steps=3, progress=False, device="cpu")
    assert post.structure()["gamma.inclusion"].shape == (2, 8)
    assert post.predict(x, draws=2).isfinite().all()
    architecture = post.model.architecture()
    assert architecture.mixed == ()
    assert architecture.eval()(x).shape == (16, 10)
    assert not any(
        isinstance(p, torch.Tensor) and p.isnan().any() for p in architecture.parameters()
    )


def test_bad_arguments_are_named():
    graph = two_layers()
    fixed = bn.nn.Graph({("x", "y"): nn.Linear(4, 3)}, example=torch.zeros(1, 4))
    for options, message in (
        ({"coupling": "tight"}, r"coupling must be one of \['independent', 'conjugate'\]"),
        ({"guide": "normal"}, r"guide must be one of \['gumbel-softmax', "),
        ({"domain": "sphere"}, r"domain must be one of \['simplex', 'simplex-vertices', "),
        ({"domain": "cube"}, r"domain must be one of \['simplex', 'simplex-vertices'\] for guide"),
        ({"sample": "pixel"}, r"sample must be one of \['batch', 'example'\]"),
        ({"weights": "none"}, r"weights must be one of \['gaussian', 'point'\]"),
        ({"cost": "watts"}, r"cost must be one of \['parameters', 'multiply-adds', 'latency'\] or"),
        ({"cost": {"x->y": [1.0]}}, r"cost must name the mixed edges \['x->h'\], got \['x->y'\]"),
        ({"cost": {"x->h": [1.0, -1.0, 0.0]}}, "cost of edge x->h must be 3 finite numbers >= 0"),
        ({"cost_scale": 0.0}, "cost_scale must be a finite number > 0"),
        ({"temperature": 0.0}, "temperature must be a finite number > 0, got 0.0"),
        ({"temperature": (1.0, -1.0)}, "temperature must be a finite number > 0, got -1.0"),
        ({"temperature": (1.0,)}, r"temperature must be a number or two, \(start, end\)"),
        ({"gamma_floor": 2.0}, r"gamma_floor must be in \(0, 1\]"),
        ({"sample": "example", "coupling": "conjugate"}, "coupling must be 'independent' for"),
        ({"domain": "simplex-vertices", "coupling": "conjugate"}, "coupling must be 'independent'"),
        ({"weights": "point", "coupling": "conjugate"}, "coupling must be 'independent' for"),
    ):
        with pytest.raises(ValueError, match=message):
            LatentStructureNet(graph, **options)
    with pytest.raises(ValueError, match="graph must be a bayesnas.nn.Graph with an edge of two"):
        LatentStructureNet(fixed)


def test_an_empty_range_of_kl_weights_is_named():
    with pytest.raises(ValueError, match="low"):
        bn.LogUniform(1.0, 1.0)


def test_the_point_mass_pays_the_complexity_and_nothing_else():
    """KL = ⟨softmax α, n⟩ / c, so λ is the coefficient of complexity."""
    model = LatentStructureNet(
        two_layers(), "point-mass", weights="point", cost="parameters", cost_scale=7.0
    )
    alpha = torch.tensor([[0.3, -1.0, 2.0]])
    model.structural.assign("gamma.logits", alpha)
    kl = bound_terms(model, *classes_data()).kl
    expected = float(alpha[0].softmax(-1) @ torch.tensor([30.0, 30.0, 28.0])) / 7.0
    assert list(kl) == ["gamma"]
    assert float(kl["gamma"].detach()) == pytest.approx(expected, rel=1e-6)
    gamma = {("x", "h"): alpha[0].softmax(-1)}
    x, y = classes_data()
    terms = bound_terms(model, x, y)
    with torch.no_grad():
        expected = -nn.functional.cross_entropy(model.graph(x, gamma), y, reduction="sum")
    assert float(terms.expected_log_lik().detach()) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["gaussian", "point"])
@pytest.mark.parametrize("guide", ["gumbel-softmax", "dirichlet", "binary-concrete"])
def test_gamma_of_every_example_estimates_the_same_bound_with_less_variance(guide, weights):
    x, _ = classes_data()
    y = torch.zeros(len(x), dtype=torch.long)  # all examples feel γ alike
    terms = {}
    for sample in ("batch", "example"):
        torch.manual_seed(1)
        model = LatentStructureNet(
            two_layers(), guide, sample=sample, weights=weights, temperature=1.0
        )
        model.reset()
        with torch.no_grad(), pyro_session(RandomStream(0, x.device)):
            rows = [bound_terms(model, x, y) for _ in range(200)]
        terms[sample] = [
            torch.stack([row.expected_log_lik() for row in rows]).double(),
            torch.stack([row.kl_divergence() for row in rows]).double(),
        ]
    for batch, example in zip(*terms.values(), strict=True):
        error = ((batch.var() + example.var()) / 200).sqrt()
        assert abs(batch.mean() - example.mean()) < 5.5 * error + 1e-5 * batch.mean().abs()
    assert terms["example"][1].var() <= 0.5 * terms["batch"][1].var()
    if weights == "point":  # else the noise of the weights is in both
        assert terms["example"][0].var() < 0.5 * terms["batch"][0].var()


def test_a_prediction_has_one_gamma_for_all_examples():
    """sample="example" is a way to estimate the bound, no other model."""
    graph = bn.nn.Graph({("x", "y"): [nn.Identity(), nn.Tanh()]}, example=torch.zeros(1, 1))
    options = {"likelihood": "gaussian", "noise_scale": 0.1, "weights": "point"}
    model = LatentStructureNet(graph, "binary-concrete", sample="example", **options)
    x = torch.linspace(0.5, 2.0, 8)[:, None]
    post = bn.fit(model, (x, x), steps=2, progress=False, device="cpu")
    outputs = post.predict(x, draws=5).reshape(5, 8)
    basis = torch.cat([x, x.tanh()], 1)
    gamma = torch.linalg.lstsq(basis.expand(5, 8, 2), outputs[..., None]).solution
    assert torch.allclose((basis @ gamma)[..., 0], outputs, atol=1e-5)
    assert ((gamma > 0) & (gamma < 1)).all()


def test_the_temperature_falls_over_the_steps_of_a_fit(tmp_path):
    """Traced steps take it as an input; it is saved, and a fit that goes on keeps its end."""
    seen = {}
    for mode in (False, "trace"):
        model = LatentStructureNet(two_layers(), temperature=(1.0, 0.2))
        temperatures = []

        def note(event, seen=temperatures):
            seen.append(float(event.model.temperature))

        options = {"steps": 10, "lr": 0.05, "seed": 1, "device": "cpu", "progress": False}
        post = bn.fit(
            model,
            classes_data(),
            compile=mode,
            on_step=note,
            **options,
        )
        assert temperatures == pytest.approx([1.0 - 0.08 * step for step in range(10)])
        seen[mode] = post
    plain, traced = (seen[mode].history()["loss"].values for mode in (False, "trace"))
    assert np.allclose(plain, traced, rtol=1e-4)
    again = seen["trace"].refine(classes_data(), steps=2, progress=False)
    assert float(again.model.temperature) == pytest.approx(0.28)
    seen["trace"].save(tmp_path / "run")
    assert float(bn.load(tmp_path / "run").model.temperature) == pytest.approx(0.28)


@pytest.mark.slow
def test_a_fit_resumed_in_the_middle_has_the_temperatures_of_an_unbroken_one():
    x, y = classes_data()
    settings = make_settings(
        examples=len(x), kl_weight=1.0, kl_warmup=0.0, amortize=None, epochs=None, steps=6,
        batch_size=8, lr=0.05, schedule="cosine", clip=None, restarts=1, patience=None, seed=2,
        compile="trace",
    )  # fmt: skip

    def training():
        model = LatentStructureNet(two_layers(), temperature=(1.0, 0.1), sample="example")
        return ChainTrainer(model, Split.of((x, y)), settings, 0, torch.optim.Adam, "cosine")

    whole, first, second = training(), training(), training()
    whole.advance(6)
    first.advance(3)
    tensors, values = first.state()
    assert float(tensors["model/temperature"]) == pytest.approx(0.7)
    second.load_state({name: value.clone() for name, value in tensors.items()}, values)
    second.advance(3)
    assert torch.equal(whole.history, second.history)
    assert float(second.model.temperature) == pytest.approx(0.25)


def test_a_measured_latency_is_saved_with_the_model(tmp_path):
    model = LatentStructureNet(two_layers(), cost="latency", cost_scale=10.0)
    assert (model.prior_gamma < 0).all()
    post = bn.fit(model, classes_data(), steps=2, progress=False, device="cpu")
    post.save(tmp_path / "run")
    loaded = bn.load(tmp_path / "run")
    assert torch.equal(loaded.model.prior_gamma, model.prior_gamma)
    assert loaded.model.config()["cost"] == model.config()["cost"]


def test_in_the_cube_several_operations_may_stay():
    model = LatentStructureNet(two_layers(), "binary-concrete")
    names = {}
    for logits in ((2.0, 3.0, -1.0), (-1.0, -3.0, -2.0)):
        model.structural.assign("gamma.logits", torch.tensor([logits]))
        names[logits] = model.architecture().names["x", "h"]
    assert list(names.values()) == [("linear+tanh",), ("linear",)]


@pytest.mark.slow
class TestPointWeightsContract(ModelContract):
    def make_model(self):
        return LatentStructureNet(two_layers(), weights="point", cost="parameters")

    def make_data(self):
        return classes_data()


def test_point_weights_are_parameters_and_no_sites():
    model = LatentStructureNet(two_layers(), weights="point", initial_loc="net")
    assert list(bound_terms(model, *classes_data()).kl) == ["gamma"]
    trained = {name for name, _ in model.named_parameters()}
    assert "structural.gamma.logits" in trained
    assert sum(p.numel() for p in model.parameters()) == 3 + sum(
        p.numel() for p in two_layers().parameters()
    )
    assert model.weight_posteriors() == {}
