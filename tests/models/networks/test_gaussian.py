"""GaussianNet: contract, any network, priors, estimators, plain Pyro."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager

import numpy as np
import pyro
import pytest
import torch
import torch.nn.functional as F
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

import bayesnas as bn
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.models.base import BayesianModel
from bayesnas.testing import ModelContract


def small_data(classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(20, 4, generator=generator), torch.arange(20) % classes


class TestClassification(ModelContract):
    def make_model(self) -> BayesianModel:
        return bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale=0.5)

    def make_data(self) -> tuple[Tensor, Tensor]:
        return small_data()


@pytest.mark.slow
class TestWeightSampling(TestClassification):
    def make_model(self) -> BayesianModel:
        return bn.models.GaussianNet(
            bn.nn.mlp([4, 6, 3], activation="tanh"),
            prior_scale={"layer1": 0.5, "layer2": 2.0},
            estimator="weight",
        )


class TestRegression(ModelContract):
    def make_model(self) -> BayesianModel:
        return bn.models.GaussianNet(
            bn.nn.mlp([4, 6, 1]), prior_scale="learned", likelihood="gaussian"
        )

    def make_data(self) -> tuple[Tensor, Tensor]:
        x, _ = small_data()
        return x, x.sum(1)


class TestConvolution(ModelContract):
    def make_model(self) -> BayesianModel:
        net = nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(),
            nn.Linear(48, 1),
        )  # fmt: skip
        return bn.models.GaussianNet(net, likelihood="bernoulli")

    def make_data(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(20, 1, 4, 4, generator=generator), torch.arange(20) % 2


class Branches(nn.Module):
    """Two branches that meet, one parameter tied, and a deterministic scale."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(4, 5), nn.Linear(4, 5), nn.Linear(5, 3)
        self.gain = nn.Parameter(torch.ones(5))

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = self.head(self.gain * torch.tanh(self.left(x)) + self.right(x))
        return joined


def test_a_module_with_branches_keeps_its_other_parameters_deterministic() -> None:
    model = bn.models.GaussianNet(Branches())
    assert set(model.site_dims()) == {
        f"{layer}.{leaf}" for layer in ("left", "right", "head") for leaf in ("weight", "bias")
    }
    post = bn.fit(model, small_data(), steps=10, lr=0.1, progress=False)
    gain = dict(post.model.named_parameters())["net.gain"]
    assert not torch.equal(gain, torch.ones(5))


@pytest.mark.slow
def test_resnet18_of_torchvision() -> None:
    from torchvision.models import resnet18

    net = resnet18(num_classes=4)
    model = bn.models.GaussianNet(net, prior_scale=0.1)
    layers = [n for n, m in net.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert model.layers.names == layers
    assert not any("bn" in site for site in model.site_dims())
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, 32, 32, generator=generator)
    post = bn.fit(model, (x, torch.arange(4)), steps=2, batch_size=4, progress=False)
    assert post.predict(x, draws=2).shape == (2, 4, 4)
    assert torch.isfinite(post.predict(x, draws=2)).all()


def test_the_rule_chooses_what_stays_deterministic() -> None:
    model = bn.models.GaussianNet(
        bn.nn.mlp([4, 6, 3]), stochastic=lambda name, module: name == "layer2"
    )
    assert set(model.site_dims()) == {"layer2.weight", "layer2.bias"}
    assert "net.layer1.weight" in dict(model.named_parameters())


def test_tied_weights_are_one_site() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    net[2].weight = net[0].weight
    model = bn.models.GaussianNet(net, estimator="weight")
    assert list(model.site_dims()) == ["0.weight", "0.bias", "2.bias"]
    plain = model.plain_module()
    assert plain[0].weight is plain[2].weight  # type: ignore[index]
    bn.fit(model, small_data(4), steps=2, progress=False)


def test_local_reparameterisation_refuses_a_weight_that_is_used_twice() -> None:
    layer = nn.Linear(4, 4)
    net = nn.Sequential(layer, nn.Tanh(), layer)
    with pytest.raises(RuntimeError, match="estimator='weight'"):
        bn.fit(bn.models.GaussianNet(net), small_data(4), steps=2, progress=False)


def local_parameters() -> AbstractContextManager[None]:
    """Keep the parameters out of Pyro's store while the pair is run by hand."""
    return pyro.settings.context(module_local_params=True)


def test_kl_equals_torch_normals() -> None:
    model = bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale=(0.5, 2.0))
    expected = 0.0
    for site, (loc, scale) in model.weight_posteriors().items():
        prior = 0.5 if site.startswith("layer1") else 2.0
        expected += kl_divergence(Normal(loc, scale), Normal(0.0, prior)).sum().item()
    with local_parameters():
        kl = bound_terms(model, *small_data()).kl_divergence().item()
    assert kl == pytest.approx(expected, rel=1e-5)


def test_both_estimators_agree_with_quadrature_of_a_single_neuron() -> None:
    """E log σ(w x) over w ~ N(μ, s²), by Gauss–Hermite quadrature; of 20 inputs at once."""
    x, y = torch.linspace(0.5, 2.5, 20)[:, None], torch.ones(20, dtype=torch.long)
    nodes, weights = map(torch.from_numpy, np.polynomial.hermite_e.hermegauss(80))
    values = F.logsigmoid(x.double() * (0.4 + 0.8 * nodes)).sum(0)
    exact = (weights * values).sum() / math.sqrt(2 * math.pi)
    for estimator in ("local", "weight"):
        model = bn.models.GaussianNet(
            nn.Linear(1, 1, bias=False), likelihood="bernoulli", estimator=estimator
        )
        model.variational.assign("weight.loc", torch.tensor([[0.4]]))
        model.variational.assign("weight.log_scale", torch.tensor([[math.log(0.8)]]))
        with torch.random.fork_rng(), torch.no_grad(), local_parameters():
            torch.manual_seed(0)
            draws = torch.stack(
                [bound_terms(model, x, y).expected_log_lik() for _ in range(1500)]
            ).double()
        assert abs(draws.mean() - exact) < 5 * draws.std() / math.sqrt(1500)


@pytest.mark.slow
@pytest.mark.parametrize("elbo", [Trace_ELBO, TraceMeanField_ELBO])
def test_plain_svi_reaches_the_bound_of_our_own_fit(elbo: type) -> None:
    """The same model under pyro.infer.SVI, from the same start, gets to the same place."""
    x, y = small_data()
    model = bn.models.GaussianNet(bn.nn.mlp([4, 3]))
    post = bn.fit(model, (x, y), steps=400, lr=0.03, schedule="constant", progress=False)
    ours = post.evaluate((x, y), draws=300)["elbo"]
    pyro.clear_param_store()
    with torch.random.fork_rng():
        pyro.set_rng_seed(0)
        svi = SVI(model.model, model.guide, pyro.optim.Adam({"lr": 0.03}), elbo())
        for _ in range(400):
            svi.step(x, y)
        with torch.no_grad():
            theirs = [bound_terms(model, x, y).bound(1.0) for _ in range(300)]
    pyro.clear_param_store()
    assert torch.stack(theirs).mean().item() == pytest.approx(ours, rel=0.03)


def test_a_second_model_under_svi_does_not_take_the_firsts_parameters() -> None:
    x, y = small_data()
    pyro.clear_param_store()
    first = bn.models.GaussianNet(bn.nn.mlp([4, 3]))
    first.guide(x, y)
    second = bn.models.GaussianNet(bn.nn.mlp([4, 3]))
    second.guide(x, y)
    store = pyro.get_param_store()
    for name, model in (("GaussianNet", first), ("GaussianNet_2", second)):
        for parameter, value in model.named_parameters():
            assert store[f"{name}$$${parameter}"] is value
    pyro.clear_param_store()


@pytest.mark.slow
def test_learned_prior_scale_is_the_root_mean_second_moment() -> None:
    """Type-II maximum likelihood: s² = mean(μ² + σ²) of the layer."""
    model = bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale="learned")
    x, _ = small_data()
    data = (x, x[:, :3].argmax(1))
    post = bn.fit(model, data, kl_weight=0.1, steps=1500, lr=0.02, compile="trace", progress=False)
    fitted = post.model
    assert isinstance(fitted, bn.models.GaussianNet)
    for index, layer in enumerate(fitted.layers.names):
        moments = torch.cat(
            [
                (loc.square() + scale.square()).flatten()
                for site, (loc, scale) in fitted.weight_posteriors().items()
                if site.startswith(layer)
            ]
        )
        learned = fitted.log_prior_scale[index].exp().square().item()
        assert learned == pytest.approx(moments.mean().item(), rel=0.05)
    complexity = post.complexity()
    assert complexity["parametric_complexity"] == pytest.approx(complexity["kl_nats"], rel=1e-3)
    assert complexity["parametric_complexity"] <= complexity["kl_nats"]


def test_a_prior_scale_of_every_weight_is_best_at_its_second_moment() -> None:
    """The gradient of the KL by ln s, 1 − (μ² + σ²)/s², is that of each weight alone."""
    model = bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale="ard")
    assert model.log_prior_scale["layer1.weight"].shape == (6, 4)
    moments = {
        site: (loc.square() + scale.square()) for site, (loc, scale) in
        model.weight_posteriors().items()
    }  # fmt: skip
    for site, square in moments.items():
        model.log_prior_scale.assign(site, square.log() / 2)
    model.log_prior_scale.assign("layer2.bias", torch.zeros(3))
    (x, y) = small_data()
    bound_terms(model, x, y).kl_divergence().backward()
    for site, square in moments.items():
        expected = 1 - square if site == "layer2.bias" else torch.zeros_like(square)
        assert torch.allclose(model.log_prior_scale[site].grad, expected, atol=1e-4), site


@pytest.mark.slow
class TestArd(TestClassification):
    def make_model(self) -> BayesianModel:
        return bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale="ard")


def test_initial_means_from_the_net_or_from_the_seed() -> None:
    net = bn.nn.mlp([4, 6, 3])
    kept = bn.fit(
        bn.models.GaussianNet(net, initial_loc="net"),
        small_data(),
        steps=1,
        lr=1e-9,
        progress=False,
    )
    weight = net.get_parameter("layer1.weight")
    loc, scale = kept.model.weight_posteriors()["layer1.weight"]
    assert torch.allclose(loc, weight, atol=1e-6)
    assert torch.allclose(scale, torch.full_like(scale, 0.02), rtol=1e-5)
    drawn = bn.fit(bn.models.GaussianNet(net), small_data(), steps=1, lr=1e-9, progress=False)
    loc = drawn.model.weight_posteriors()["layer1.weight"][0]
    assert not torch.allclose(loc, weight, atol=1e-3)
    assert loc.abs().max() <= 1 / math.sqrt(4)  # the layer's own reset_parameters


def test_removed_weights_are_zero_everywhere() -> None:
    post = bn.fit(
        bn.models.GaussianNet(bn.nn.mlp([4, 6, 3])), small_data(), steps=5, progress=False
    )
    smaller = post.prune(fraction=0.5)
    masks = smaller.model.keep_masks()
    removed = sum(int((~mask).sum()) for mask in masks.values())
    assert removed == round(0.5 * (4 * 6 + 6 + 6 * 3 + 3))
    for site, draws in smaller.sample(draws=3).items():
        assert torch.all(draws[:, ~masks[site]] == 0)
        assert torch.all(draws[:, masks[site]] != 0)
        assert torch.all(smaller.model.plain_module().get_parameter(site)[~masks[site]] == 0)
        structure = torch.tensor(smaller.structure()[site].values)
        assert torch.all(structure[~masks[site]] == 0)
    assert smaller.complexity()["parameters_kept"] == 51 - removed
    assert smaller.complexity()["kl_nats"] < post.complexity()["kl_nats"]
    assert post.complexity()["parameters_kept"] == 51


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior_scale": 0.0}, "prior_scale must be a finite number > 0, got 0.0"),
        ({"prior_scale": [1.0]}, "one value for each of the 2 stochastic layers"),
        ({"prior_scale": {"layer1": 1.0}}, "must name every stochastic layer"),
        ({"prior_scale": "learnt"}, "prior_scale must be one of"),
        ({"likelihood": "categorial"}, "did you mean 'categorical'"),
        ({"likelihood": "gaussian", "noise_scale": -1.0}, "noise_scale must be a number > 0"),
        ({"noise_scale": 1.0}, "noise_scale goes with likelihood='gaussian'"),
        ({"estimator": "flipout"}, "estimator must be one of"),
        ({"initial_loc": "zero"}, "initial_loc must be one of"),
        ({"initial_scale": -0.1}, "initial_scale must be a finite number > 0"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), **options)  # type: ignore[arg-type]


def test_a_net_without_layers_to_make_stochastic_is_refused() -> None:
    with pytest.raises(ValueError, match="by default a linear or convolution layer"):
        bn.models.GaussianNet(nn.Sequential(nn.Flatten()))
