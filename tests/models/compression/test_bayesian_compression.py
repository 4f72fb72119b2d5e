"""BayesianCompressionNet: contract, posteriors by simulation, removal, errors."""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyro
import pytest
import torch
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.models.base import BayesianModel
from bayesnas.models.compression.threshold_sweep import knee
from bayesnas.testing import ModelContract


def small_data(classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(20, 4, generator=generator), torch.arange(20) % classes


class TestNormalJeffreys(ModelContract):
    def make_model(self) -> BayesianModel:
        return bn.models.BayesianCompressionNet(bn.nn.mlp([4, 6, 3]))

    def make_data(self) -> tuple[Tensor, Tensor]:
        return small_data()


class TestHorseshoe(TestNormalJeffreys):
    def make_model(self) -> BayesianModel:
        return bn.models.BayesianCompressionNet(
            bn.nn.mlp([4, 6, 3]), "horseshoe", global_scale=0.1, max_scale=0.5
        )


@pytest.mark.slow
class TestTruncatedLogUniform(TestNormalJeffreys):
    def make_model(self) -> BayesianModel:
        return bn.models.BayesianCompressionNet(
            bn.nn.mlp([4, 6, 3], activation="tanh"), "log-uniform-truncated", estimator="weight"
        )


@pytest.mark.slow
class TestTruncatedLogUniformByExample(TestNormalJeffreys):
    def make_model(self) -> BayesianModel:
        return bn.models.BayesianCompressionNet(bn.nn.mlp([4, 6, 3]), "log-uniform-truncated")


@pytest.mark.slow
class TestConvolutionWithHorseshoe(ModelContract):
    def make_model(self) -> BayesianModel:
        net = nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(),
            nn.Linear(48, 1),
        )  # fmt: skip
        return bn.models.BayesianCompressionNet(net, "horseshoe", likelihood="bernoulli")

    def make_data(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(20, 1, 4, 4, generator=generator), torch.arange(20) % 2


PRIORS = ("normal-jeffreys", "horseshoe", "log-uniform-truncated")


def local_parameters() -> AbstractContextManager[None]:
    """Keep the parameters out of Pyro's store while the pair is run by hand."""
    return pyro.settings.context(module_local_params=True)


def randomised(model: bn.models.BayesianCompressionNet) -> bn.models.BayesianCompressionNet:
    """The model with every variational parameter moved off its start."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.7 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize("prior", PRIORS)
def test_weight_posteriors_are_those_of_the_draws(prior: str) -> None:
    model = randomised(bn.models.BayesianCompressionNet(bn.nn.mlp([3, 2, 2]), prior))
    if prior == "horseshoe":  # its heavy tails leave no moments to estimate by few draws
        for name in ("layer1", "layer2"):
            for variable in ("alpha", "beta", "s_a", "s_b"):
                site = f"{name}.{variable}.log_scale"
                model.variational.assign(site, torch.full_like(model.variational[site], -1.5))
                loc = f"{name}.{variable}.loc"
                model.variational.assign(loc, model.variational[loc].clamp(-1, 1))
    draws = 20_000
    for site, (mean, scale) in model.weight_posteriors().items():
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            weight = model.posterior(site).rsample(torch.Size([draws]))
            layer, leaf = site.split(".")
            if leaf == "weight":
                scales = {
                    variable: model.scale_posterior(layer, variable).base.sample([draws])
                    for variable in model.scale_prior.variables
                }
                scales = {v: z if z.ndim == 2 else z[:, None] for v, z in scales.items()}
                weight = weight * model.scale_prior.join(scales)[:, None]
        assert torch.all((weight.mean(0) - mean).abs() < 5 * scale / draws**0.5 + 1e-6), site
        assert torch.allclose(weight.std(0), scale, rtol=0.1), site


def test_both_estimators_agree_on_the_expected_log_likelihood() -> None:
    x, y = small_data()
    means = {}
    for estimator in ("local", "weight"):
        model = bn.models.BayesianCompressionNet(bn.nn.mlp([4, 3]), estimator=estimator)
        generator = torch.Generator().manual_seed(2)
        model.variational.assign("layer1.weight.loc", torch.randn(3, 4, generator=generator))
        model.variational.assign("layer1.bias.loc", torch.zeros(3))
        model.variational.assign("layer1.z.log_scale", torch.full((4,), -0.5))
        model.variational.assign("layer1.weight.log_scale", torch.full((3, 4), -1.0))
        with torch.random.fork_rng(devices=[]), torch.no_grad(), local_parameters():
            torch.manual_seed(0)
            draws = torch.stack(
                [bound_terms(model, x, y).expected_log_lik() for _ in range(400)]
            ).double()
        means[estimator] = draws.mean(), draws.std() / 400**0.5
    (a, error_a), (b, error_b) = means.values()
    assert abs(a - b) < 5 * (error_a.square() + error_b.square()).sqrt()


@pytest.mark.slow_except("horseshoe")
@pytest.mark.parametrize("prior", PRIORS)
def test_inputs_without_information_lose_their_inclusion(prior: str) -> None:
    """Two of six inputs say what y is; at λ = 1 their inclusion is high, that of the others low."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 6, generator=generator)
    y = x[:, 1] - 2 * x[:, 4] + 0.1 * torch.randn(400, generator=generator)
    net = bn.nn.mlp([6, 1], bias=False)
    model = bn.models.BayesianCompressionNet(
        net, prior, likelihood="gaussian", noise_scale=0.1, initial_scale=0.1, global_scale=0.1
    )
    post = bn.fit(
        model, (x, y), kl_weight=1.0, steps=600, lr=5e-2, batch_size=400, compile="trace",
        progress=False,
    )  # fmt: skip
    fitted = post.model
    assert isinstance(fitted, bn.models.BayesianCompressionNet)
    inclusion = post.structure()["layer1.inclusion"]
    assert inclusion.dims == ("layer1.in",)
    others = [0, 2, 3, 5]
    assert inclusion.values[[1, 4]].min() > inclusion.values[others].max()
    scores = fitted.group_scores()["layer1"]
    assert scores[[1, 4]].max() < scores[others].min()
    if prior == "normal-jeffreys":
        assert inclusion.values[[1, 4]].min() > 0.9
        assert inclusion.values[others].max() < 0.6


@functools.cache
def _digits_posterior(prior: str) -> bn.Posterior:
    data = bn.data.load("digits")
    model = bn.models.BayesianCompressionNet(bn.nn.mlp([64, 20, 16, 10]), prior, initial_scale=0.1)
    return bn.fit(model, data.train, kl_weight=0.3, epochs=20, lr=2e-2, progress=False)


def fitted_digits(prior: str = "normal-jeffreys") -> bn.Posterior:
    """A copy of the fit, which is made once: tests remove weights from its model."""
    return copy.deepcopy(_digits_posterior(prior))


@pytest.mark.slow
@pytest.mark.parametrize("prior", PRIORS)
def test_compact_equals_the_pruned_posterior_means(prior: str) -> None:
    data = bn.data.load("digits")
    post = fitted_digits(prior)
    model = post.model
    assert isinstance(model, bn.models.BayesianCompressionNet)
    pooled = torch.cat(list(model.group_scores().values()))
    limit = max(float(score.min()) for score in model.group_scores().values())
    model.remove_groups(max(float(pooled.quantile(0.5)), limit + 1e-3))
    small = post.compact()
    kept = {name: int(mask.sum()) for name, mask in model.keep_groups.masks().items()}
    assert kept["layer2"] < 20
    assert small.layer1.out_features == kept["layer2"]  # type: ignore[union-attr]
    assert small.layer2.out_features == kept["layer3"]  # type: ignore[union-attr]
    x = data.test.x
    with torch.no_grad():
        expected = model.plain_module().eval()(x)
        assert torch.allclose(small(x), expected, atol=1e-5 * float(expected.abs().max()))
    exported = torch.export.export(small, (x[:5],)).module()
    with torch.no_grad():
        assert torch.allclose(exported(x[:5]), expected[:5], atol=1e-4)
    means = post.evaluate(data.test, draws=0)["accuracy"]
    assert means == pytest.approx(float((expected.argmax(1) == data.test.y).float().mean()))


class ResidualNet(nn.Module):
    """A convolution, a residual block of two, pooling and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1)
        self.first, self.second = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.stem(x))
        h = torch.relu(h + self.second(torch.relu(self.first(h))))
        logits: Tensor = self.head(h.mean((2, 3)))
        return logits


def test_a_residual_net_gets_physically_smaller() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 1, 6, 6, generator=generator)
    data = (x, torch.arange(30) % 3)
    post = bn.fit(
        bn.models.BayesianCompressionNet(ResidualNet()), data, steps=5, lr=1e-2, progress=False
    )
    model = post.model
    assert isinstance(model, bn.models.BayesianCompressionNet)
    assert model.group_names() == {
        "stem": "stem.out", "first": "first.out", "second": "second.out", "head": "head.in"
    }  # fmt: skip
    for layer, gone in (("stem", [0, 3]), ("second", [0, 3, 5]), ("first", [1, 2]), ("head", [4])):
        noisy = model.variational[f"{layer}.z.log_scale"].detach().clone()
        noisy[gone] = 4.0
        model.variational.assign(f"{layer}.z.log_scale", noisy)
    model.remove_groups(0.0)
    model.remove_unread(x[:2])
    small = post.compact()
    assert small.first.out_channels == 4  # type: ignore[union-attr]
    assert small.stem.out_channels < 6  # type: ignore[union-attr]
    with torch.no_grad():
        assert torch.allclose(small(x), model.plain_module().eval()(x), atol=1e-5)
        exported = torch.export.export(small, (x[:4],)).module()
        assert torch.allclose(exported(x[:4]), small(x[:4]), atol=1e-5)


@pytest.mark.slow
def test_removed_groups_are_zero_in_draws_means_and_structure_and_stay_so() -> None:
    post = fitted_digits()
    model = post.model
    assert isinstance(model, bn.models.BayesianCompressionNet)
    before = post.complexity()
    model.remove_groups(-2.0)
    kept = model.keep_groups.masks()["layer1"]
    assert 0 < int(kept.sum()) < 64
    for draws in (post.sample(draws=3)["layer1.weight"], post.sample(draws=3)["layer1.z"][:, None]):
        assert torch.all(draws[..., ~kept] == 0)
        assert torch.all(draws[..., kept] != 0)
    assert torch.all(torch.tensor(post.structure()["layer1.inclusion"].values)[~kept] == 0)
    assert post.complexity()["kl_nats"] < before["kl_nats"]
    assert post.complexity()["parameters_kept"] < before["parameters_kept"]
    # A second fit of what is left leaves the removed ones out.
    smaller = bn.models.BayesianCompressionNet(
        model.plain_module(), initial_loc="net", initial_scale=0.1
    )
    smaller.set_keep_masks(model.keep_masks())
    assert torch.equal(smaller.keep_groups.masks()["layer1"], kept)
    data = bn.data.load("digits")
    again = bn.fit(smaller, data.train, kl_weight=0.3, epochs=2, progress=False)
    assert torch.all(again.model.plain_module().layer1.weight[:, ~kept] == 0)  # type: ignore[union-attr, index, operator]


def test_a_second_fit_starts_at_the_net_again_and_refine_goes_on(tmp_path: Path) -> None:
    x, y = small_data()
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.LayerNorm(6), torch.nn.Linear(6, 3))
    model = bn.models.BayesianCompressionNet(net, initial_loc="net")
    options: dict[str, Any] = {"lr": 1e-2, "batch_size": 16, "compile": False, "progress": False}
    first = bn.fit(model, (x, y), steps=40, **options)
    second = bn.fit(first.model, (x, y), steps=40, **options)
    loaded_from = tmp_path / "run"
    first.save(loaded_from)
    third = bn.fit(bn.load(loaded_from).model, (x, y), steps=40, **options)
    fitted, fresh = first.model.state_dict(), model.state_dict()
    for name, value in fitted.items():
        assert torch.equal(second.model.state_dict()[name], value), name
        assert torch.equal(third.model.state_dict()[name], value), name
    moved = [name for name, value in fitted.items() if not torch.equal(value, fresh[name])]
    assert {"variational.0.weight.loc", "variational.0.z.log_scale", "net.1.weight"} <= set(moved)
    further = first.refine((x, y), steps=1, lr=1e-9, compile=False, progress=False)
    for name, value in fitted.items():
        assert torch.allclose(further.model.state_dict()[name], value, atol=1e-6)


def test_individual_weights_are_removed_by_their_relative_density() -> None:
    post = fitted_digits()
    model = post.model
    assert isinstance(model, bn.models.BayesianCompressionNet)
    small = post.prune(fraction=0.8)
    assert small.complexity()["parameters_kept"] <= 0.2 * small.complexity()["parameters"] + 1
    weights = small.model.weight_posteriors()["layer1.weight"]
    kept = small.model.keep_masks()["layer1.weight"]
    full_mean, full_scale = model.weight_posteriors()["layer1.weight"]
    signal = (full_mean / full_scale).abs()
    assert signal[kept].min() > signal[~kept].median()
    assert torch.all(weights[0][~kept] == 0)


def test_prune_removes_groups_then_weights_and_leaves_the_posterior_given() -> None:
    post = fitted_digits()
    total = post.complexity()["parameters"]
    smaller = post.prune(by="group", fraction=0.6)
    assert post.complexity()["parameters_kept"] == total
    left = smaller.complexity()["parameters_kept"]
    assert 0.2 * total < left <= 0.4 * total
    assert isinstance(smaller.model, bn.models.BayesianCompressionNet)
    gone = ~smaller.model.keep_groups.masks()["layer1"]
    assert gone.any()
    sparse = smaller.prune(fraction=0.9)
    assert sparse.complexity()["parameters_kept"] == total - round(0.9 * total)
    assert torch.all(sparse.model.plain_module().layer1.weight[:, gone] == 0)  # type: ignore[union-attr, index, operator]
    # By threshold the groups are those of remove_groups.
    by_hand = post.prune(by="group", threshold=100.0).model
    assert isinstance(by_hand, bn.models.BayesianCompressionNet)
    by_hand.remove_groups(-2.0)
    pruned = post.prune(by="group", threshold=-2.0).model
    assert isinstance(pruned, bn.models.BayesianCompressionNet)
    assert torch.equal(pruned.keep_groups.masks()["layer1"], by_hand.keep_groups.masks()["layer1"])
    with pytest.raises(ValueError, match=r"threshold=-1e\+06 would remove all groups of layer"):
        post.prune(by="group", threshold=-1e6)
    with pytest.raises(ValueError, match="fraction must be in"):
        post.prune(by="group", fraction=1.5)
    with pytest.raises(ValueError, match="and not both"):
        post.prune(by="group")
    data = small_data()
    plain = bn.fit(bn.models.GaussianNet(bn.nn.mlp([4, 3])), data, steps=1, progress=False)
    with pytest.raises(TypeError, match="by='group' needs a model with a scale.*GaussianNet"):
        plain.prune(by="group", fraction=0.5)


@pytest.mark.slow
def test_threshold_figures_and_bits_on_digits() -> None:
    data = bn.data.load("digits", validation=0.2)
    model = bn.models.BayesianCompressionNet(bn.nn.mlp([64, 20, 10]), initial_scale=0.1)
    post = bn.fit(model, data.train, kl_weight=0.3, epochs=20, lr=2e-2, progress=False)
    fitted = post.model
    assert isinstance(fitted, bn.models.BayesianCompressionNet)
    assert data.validation is not None
    sweep = fitted.group_sweep(data.validation.x, data.validation.y)
    fitted.remove_groups(knee(sweep))
    fitted.remove_unread(data.train.x[:2])
    factors = fitted.compression()
    assert factors["weights"] == 64 * 20 + 20 * 10
    small = post.compact()
    left = sum(int((p != 0).sum()) for n, p in small.named_parameters() if n.endswith("weight"))
    assert factors["weights_kept"] == left
    assert 1 < factors["pruning"] < factors["fast_prediction"]
    assert set(fitted.bit_widths()) == {"layer1", "layer2"}
    assert all(0 < width.significand <= 23 for width in fitted.bit_widths().values())
    assert post.evaluate(data.test, draws=0)["accuracy"] > 0.85


def test_a_threshold_that_empties_a_layer_is_refused_with_the_one_that_does_not() -> None:
    model = bn.models.BayesianCompressionNet(bn.nn.mlp([4, 6, 3]))
    model.variational.assign("layer1.z.log_scale", torch.tensor([-3.0, -2.0, -1.0, 0.0]))
    model.variational.assign("layer2.z.log_scale", torch.tensor([-0.5, 0.0, 0.0, 0.0, 0.0, 0.0]))
    with pytest.raises(ValueError, match=r"all groups of layer 'layer2'; .* just above -1\b"):
        model.remove_groups(-2.0)
    assert model.keep_groups.masks()["layer2"].all()
    model.remove_groups(-0.999)
    kept = {name: int(mask.sum()) for name, mask in model.keep_groups.masks().items()}
    assert kept == {"layer1": 3, "layer2": 1}


def test_parameters_of_groups_without_data_stay_bounded() -> None:
    """An input that is always zero says nothing of its scale, which may not run away."""
    x, y = small_data()
    x = x * torch.tensor([1.0, 0.0, 1.0, 1.0])
    model = bn.models.BayesianCompressionNet(bn.nn.mlp([4, 3]))
    model.variational.assign("layer1.z.log_scale", torch.tensor([-4.0, 300.0, -4.0, -4.0]))
    with torch.random.fork_rng(devices=[]), local_parameters():
        terms = bound_terms(model, x, y)
        terms.bound(1.0).backward()
    assert torch.isfinite(terms.bound(1.0))
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": "spike"}, "prior must be one of"),
        ({"global_scale": 0.0}, "global_scale must be a finite number > 0, got 0.0"),
        ({"initial_scale": -1.0}, "initial_scale must be a finite number > 0, got -1.0"),
        ({"max_scale": 0.0}, "max_scale must be a finite number > 0, got 0.0"),
        ({"max_scale": {"layer1": -1}}, "max_scale must be a finite number > 0, got -1"),
        ({"max_scale": {"layer9": 1.0}}, "max_scale must name layers out of"),
        ({"estimator": "flipout"}, "estimator must be one of"),
        ({"initial_loc": "zero"}, "initial_loc must be one of"),
        ({"likelihood": "categorial"}, "did you mean 'categorical'"),
        ({"stochastic": lambda name, module: True}, "linear and ungrouped convolution layers"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], message: str) -> None:
    net = nn.Sequential(OrderedDict(layer1=nn.Linear(4, 6), norm=nn.BatchNorm1d(6)))
    with pytest.raises(ValueError, match=message):
        bn.models.BayesianCompressionNet(net, **options)


def test_a_net_without_layers_to_put_the_prior_on_is_refused() -> None:
    with pytest.raises(ValueError, match="by default a linear or convolution layer"):
        bn.models.BayesianCompressionNet(nn.Sequential(nn.Flatten()))


def test_tied_layers_share_their_groups() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    net[2].weight = net[0].weight
    model = bn.models.BayesianCompressionNet(net, estimator="weight")
    assert list(model.groups) == ["0"]
    bn.fit(model, small_data(4), steps=2, progress=False)
