"""IndianBuffetVae against enumeration of z, quadrature, and data of known features."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli

import bayesnas as bn
from bayesnas.distributions import StickBreakingBuffet
from bayesnas.models.autoencoders.indian_buffet_vae import IndianBuffetVae
from bayesnas.models.base import BayesianModel
from bayesnas.models.nonparametric.stick_breaking import StickBreaking
from bayesnas.testing import ModelContract

Data = tuple[Tensor, Tensor]


class TestStructured(ModelContract):
    def make_model(self) -> BayesianModel:
        return bn.models.IndianBuffetVae(5, latents=4, mass=2.0, hidden=(6,), likelihood="gaussian")

    def make_data(self) -> Data:
        x = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
        return x, x


@pytest.mark.slow
class TestMeanField(ModelContract):
    def make_model(self) -> BayesianModel:
        return bn.models.IndianBuffetVae(
            5, 4, 2.0, hidden=(6,), guide_structure="mean-field", binarize=True
        )

    def make_data(self) -> Data:
        x = torch.rand(20, 5, generator=torch.Generator().manual_seed(0))
        return x, x


@pytest.mark.slow
class TestBinaryImages(ModelContract):
    def make_model(self) -> BayesianModel:
        return bn.models.IndianBuffetVae((1, 8, 4), 3, 2.0, network="convolution", factors=False)

    def make_data(self) -> Data:
        x = torch.rand(12, 1, 8, 4, generator=torch.Generator().manual_seed(0))
        return x, x


# Sticks -----------------------------------------------------------------------------------


def test_the_prior_of_the_sticks_is_that_of_the_buffet() -> None:
    """π = ∏ ν has the moments of StickBreakingBuffet, and a new guide is the prior."""
    sticks, buffet = StickBreaking(6, mass=3.0), StickBreakingBuffet(3.0, dishes=6)
    torch.manual_seed(0)
    drawn = sticks.prior().sample(torch.Size([40_000])).cumprod(-1)
    error = buffet.variance.sqrt() / 200
    assert bool(((drawn.mean(0) - buffet.mean).abs() < 5.5 * error).all())
    assert torch.allclose(sticks.popularity(), buffet.mean, atol=1e-6)
    assert torch.allclose(sticks.prior_logits, buffet.mean.logit(), atol=1e-5)
    assert float(sticks.divergence().detach()) == pytest.approx(0.0, abs=1e-5)


def test_the_divergence_of_the_sticks_equals_monte_carlo() -> None:
    sticks = StickBreaking(3, mass=2.0)
    with torch.no_grad():
        sticks.log_a.copy_(torch.tensor([1.0, 0.2, -0.5]))
        sticks.log_b.copy_(torch.tensor([-0.7, 0.9, 1.5]))
        torch.manual_seed(0)
        q, p = sticks.posterior(), sticks.prior()
        nu = q.sample(torch.Size([40_000]))
        ratio = q.log_prob(nu) - p.log_prob(nu)
        assert abs(ratio.mean() - sticks.divergence()) < 5.5 * ratio.std() / 200


def test_popularities_far_below_the_smallest_number_have_finite_logits() -> None:
    sticks = StickBreaking(2000, mass=0.5)
    nu = sticks.prior().sample()
    logits = sticks.logits(nu)
    assert bool(logits.isfinite().all())
    assert float(logits[-1]) == pytest.approx(float(nu.double().log().sum()), rel=1e-4)
    assert torch.allclose(logits[:3], nu.double().cumprod(0)[:3].logit().float(), rtol=1e-3)


# The bound --------------------------------------------------------------------------------


def small(**options: object) -> IndianBuffetVae:
    arguments: dict[str, object] = {"latents": 3, "mass": 2.0, "hidden": (4,), **options}
    torch.manual_seed(1)
    model = IndianBuffetVae(5, **arguments)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.networks.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return model


@pytest.mark.slow
@pytest.mark.parametrize("guide", ["structured", "mean-field"])
def test_the_binary_bound_is_an_expectation_over_all_z(guide: str) -> None:
    """By enumeration of the 2³ z, over many ν; and it is below ln p(x)."""
    model = small(factors=False, guide_structure=guide)
    x = torch.bernoulli(torch.full((4, 5), 0.5), generator=torch.Generator().manual_seed(0))
    z = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))
    with torch.no_grad():
        nu = model.sticks.posterior().sample(torch.Size([2000]))
        prior_logits = model.sticks.logits(nu)[:, None]  # [draws, 1, K]
        (evidence,) = model.networks.encode(x)
        q = Bernoulli(logits=model.gate_logits(evidence, prior_logits).expand(2000, 4, 3))
        log_q = q.log_prob(z[:, None, None]).sum(-1)  # [z, draws, n]
        log_p = Bernoulli(logits=prior_logits).log_prob(z[:, None, None]).sum(-1)
        output = model.decode(z)
        log_lik = Bernoulli(logits=output[:, None]).log_prob(x).sum(-1)  # [z, n]
        joint = log_lik[:, None] + log_p
        exact = (log_q.exp() * (joint - log_q)).sum(0)  # [draws, n]
        evidence_of_x = joint.logsumexp(0).logsumexp(0) - math.log(2000)
        bounds = model.bound(x, draws=2000)
    spread = exact.std(0) / 2000**0.5
    assert bool(((bounds - exact.mean(0)).abs() < 0.05 + 5 * spread).all())
    assert bool((bounds < evidence_of_x + 5 * spread).all())


@pytest.mark.parametrize("guide", ["structured", "mean-field"])
def test_the_relaxed_bound_is_that_of_the_fit(guide: str) -> None:
    """With −KL(ν): ``evaluate`` of the fitted posterior."""
    generator = torch.Generator().manual_seed(0)
    x = torch.bernoulli(torch.full((50, 5), 0.5), generator=generator)
    model = IndianBuffetVae(5, 3, 2.0, hidden=(4,), guide_structure=guide)
    post = bn.fit(model, (x, x), steps=30, lr=0.02, device="cpu", progress=False)
    model = post.model
    assert isinstance(model, IndianBuffetVae)
    metrics = post.evaluate((x, x), draws=120)
    bound = model.bound(x, draws=120, relaxed=True).sum() - model.sticks.divergence()
    assert float(bound.detach()) == pytest.approx(metrics["elbo"], abs=6.0)
    assert torch.equal(model.bound(x, 2, seed=5), model.bound(x, 2, seed=5))
    assert not torch.equal(model.bound(x, 2, seed=5), model.bound(x, 2, seed=6))


def test_the_divergence_of_binary_gates_is_below_that_of_relaxed_ones() -> None:
    """A relaxation can only add to it (data processing): z is a function of its logit."""
    from torch.distributions import kl_divergence

    from bayesnas.distributions import BinaryConcrete

    generator = torch.Generator().manual_seed(0)
    q, p = (3 * torch.randn(500, generator=generator) for _ in range(2))
    binary = kl_divergence(Bernoulli(logits=q), Bernoulli(logits=p))
    relaxed = kl_divergence(BinaryConcrete(0.5, logits=q), BinaryConcrete(0.5, logits=p))
    assert bool((binary <= relaxed + 1e-5).all())


# What it finds ----------------------------------------------------------------------------


def feature_data(n: int = 400) -> tuple[Tensor, Tensor]:
    """Three blocks of values, each on in 40 % of the examples, with noise."""
    generator = torch.Generator().manual_seed(0)
    z = torch.bernoulli(torch.full((n, 3), 0.4), generator=generator)
    loadings = 2.0 * torch.eye(3).repeat_interleave(4, 0).T
    return z @ loadings + 0.5 * torch.randn(n, 12, generator=generator), z


def fitted(model: IndianBuffetVae, x: Tensor, **options: object) -> IndianBuffetVae:
    settings: dict[str, object] = {"batch_size": 100, "lr": 0.03, "kl_warmup": 0.5, **options}
    post = bn.fit(model, (x, x), device="cpu", progress=False, compile="trace", **settings)  # type: ignore[arg-type]
    assert isinstance(post.model, IndianBuffetVae)
    return post.model


@pytest.mark.parametrize(
    "guide", ["structured", pytest.param("mean-field", marks=pytest.mark.slow)]
)
def test_it_finds_the_features_of_the_data(guide: str) -> None:
    x, z = feature_data()
    model = IndianBuffetVae(
        12, 8, 1.0, hidden=(), factors=False, likelihood="gaussian", noise_scale=0.5,
        guide_structure=guide, temperature=0.1,
    )  # fmt: skip
    model = fitted(model, x, steps=800)
    used = model.active(x)
    assert int(used.sum()) == 3
    both = torch.cat([model.activity(x)[:, used], z], 1)
    # A feature and its complement are one: W changes sign, the bias moves, and so does π_k.
    correlation = both.T.corrcoef()[:3, 3:].abs()
    assert bool((correlation.max(0).values > 0.95).all())
    assert float((model.reconstruct(x) - x).std()) == pytest.approx(0.5, rel=0.05)
    inclusion = model.structure()["inclusion"]
    assert inclusion.dims == ("feature",)
    assert bool((inclusion.diff("feature") <= 0).all())  # π falls


@pytest.mark.slow
def test_factors_carry_strengths() -> None:
    """One direction with a strength of its own: one feature, on in half of the examples."""
    generator = torch.Generator().manual_seed(0)
    z = torch.bernoulli(torch.full((600, 1), 0.5), generator=generator)
    strength = 3 + torch.randn(600, 1, generator=generator)
    x = z * strength * torch.ones(6) + 0.2 * torch.randn(600, 6, generator=generator)
    model = IndianBuffetVae(6, 5, 1.0, hidden=(20,), likelihood="gaussian", noise_scale=0.2)
    model = fitted(model, x, steps=800, lr=0.01)
    assert float((model.reconstruct(x) - x).std()) < 0.3
    assert 1 <= int(model.active(x).sum()) <= 2


# Use --------------------------------------------------------------------------------------


def test_generated_examples_have_binary_features() -> None:
    model = IndianBuffetVae(4, 6, 3.0, hidden=(), factors=False, likelihood="gaussian")
    with torch.no_grad():
        model.first.weight.copy_(torch.arange(24.0).reshape(4, 6))
        model.first.bias.zero_()
    generator = torch.Generator().manual_seed(0)
    z = model.prior_latents(20_000, generator)
    assert set(z.unique().tolist()) == {0.0, 1.0}
    assert torch.allclose(z.mean(0), model.scales(), atol=0.015)
    x = model.generate(50, fixed={2: 1.0, 5: 0.0}, generator=generator)
    assert x.shape == (50, 4)
    # Column 2 is always there and column 5 never: what is left is explained by four others.
    rest = x - model.first.weight.detach()[:, 2]
    solved = torch.linalg.lstsq(model.first.weight.detach(), rest.T)
    assert solved.solution.shape == (6, 50)


def test_traversals_and_codes() -> None:
    x = torch.rand(7, 1, 8, 8)
    model = IndianBuffetVae((1, 8, 8), 5, network="convolution")
    assert model.encode(x).shape == model.activity(x).shape == (7, 5)
    assert model.reconstruct(x).shape == (7, 1, 8, 8)
    assert model.traverse(1, [-1.0, 0.0, 2.0], x[0]).shape == (3, 1, 8, 8)
    assert model.lost() == pytest.approx(10 * (10 / 11) ** 5)
    assert set(model.measures(x)) == {"gamma", "variance", "sensitivity"}


@pytest.mark.parametrize("latent", [-1, 5, True, 1.0])
def test_a_latent_index_out_of_range_is_named(latent: object) -> None:
    model = IndianBuffetVae(4, 5)
    with pytest.raises(ValueError, match=r"fixed: a latent index must be a whole number in 0…4"):
        model.generate(1, fixed={latent: 1.0})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match=r"latent: a latent index must be a whole number in 0…4"):
        model.traverse(latent, [0.0])  # type: ignore[arg-type]


def test_bad_data_are_named() -> None:
    x = torch.rand(6, 4)
    model = IndianBuffetVae(4, 5)
    with pytest.raises(ValueError, match=r"x: pixels must be in \[0, 1\] .* from .* to 2"):
        bn.fit(model, (2 * x / x.max(), x), steps=1)
    with pytest.raises(ValueError, match=r"y: pixels must be in \[0, 1\]"):
        bn.fit(model, (x, -x), steps=1)
    with pytest.raises(ValueError, match=r"x: pixels must be in \[0, 1\]"):
        model.bound(-x)
    with pytest.raises(ValueError, match=r"x must have shape \['n', 4\]"):
        model.encode(x[:, :3])
    with pytest.raises(ValueError, match="draws must be a whole number >= 1"):
        model.bound(x, draws=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mass": 0.0}, "mass must be a finite number > 0, got 0.0"),
        ({"mass": -1.0}, "mass must be a finite number > 0, got -1.0"),
        ({"latents": 0}, "latents must be a whole number >= 1, got 0"),
        ({"temperature": 0.0}, "temperature must be a finite number > 0"),
        ({"guide_structure": "full"}, "guide_structure must be one of"),
        ({"network": "transformer"}, "network must be one of"),
        ({"hidden": (0,)}, "hidden must be a whole number >= 1, got 0"),
        ({"likelihood": "poisson"}, "likelihood must be one of"),
        ({"noise_scale": 0.1}, "noise_scale goes with likelihood='gaussian'"),
        ({"shape": 1}, "shape must hold at least two values"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IndianBuffetVae(**{"shape": 4, **arguments})  # type: ignore[arg-type]
