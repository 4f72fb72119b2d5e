"""KL divergences of Gaussians at the ends of single precision, against doubles and by hand."""

from __future__ import annotations

import math

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import kl_divergence

import bayesnas as bn
from bayesnas.distributions import (
    GaussianWeights,
    GroupScales,
    LogitNormal,
    SpikeAndSlab,
)
from bayesnas.distributions.weights.gated_weights import GatedWeights
from bayesnas.distributions.weights.operation_weights import AveragedWeights, PresentWeights
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.models.architecture.conditional_weights import posterior_given

# μ, σ, m, s: single precision squares none of the smallest σ/s, and all values are numbers of it.
CASES = [
    (0.0, 1e-30, 0.0, 1.0),
    (0.0, 1e-37, 0.0, 1e10),
    (3.0, 1e-12, 1.0, 2.0),
    (1e-30, 1e-30, 0.0, 3e-30),
    (0.0, 1e15, 0.0, 1.0),
    (1e12, 1e-20, 0.0, 1.0),
    (0.2, 0.5, -0.3, 0.5000001),
]


def exact(loc: float, log_scale: float, other_loc: float, other_scale: float) -> float:
    """The formula in the doubles of Python, whose squares of 1e-37 are numbers."""
    ratio = math.exp(2 * log_scale) / other_scale**2
    shift = (loc - other_loc) ** 2 / other_scale**2
    return 0.5 * (ratio + shift - 1) - log_scale + math.log(other_scale)


def single(*values: float) -> list[torch.Tensor]:
    return [torch.tensor([value]) for value in values]


KINDS = {
    "normal": lambda loc, scale: dist.Normal(loc, scale),
    "log-normal": lambda loc, scale: dist.LogNormal(loc, scale),
    "independent": lambda loc, scale: dist.Normal(loc, scale).to_event(1),
    "weights": lambda loc, scale: GaussianWeights(loc, scale),
    "present": lambda loc, scale: PresentWeights(loc, scale, torch.ones(())),
    "slab": lambda loc, scale: SpikeAndSlab(1.0, loc, scale),
    "scales": lambda loc, scale: GroupScales(dist.Normal(loc, scale)),
    "cube": lambda loc, scale: LogitNormal(loc, scale),
    "simplex": lambda loc, scale: LogitNormal(loc, scale, domain="simplex"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_gaussian_divergence_is_that_of_doubles(kind, case):
    loc, scale, other_loc, other_scale = case
    numbers = single(*case)
    kl = kl_divergence(KINDS[kind](*numbers[:2]), KINDS[kind](*numbers[2:]))
    loc, scale, other_loc, other_scale = (float(number) for number in numbers)  # as rounded
    expected = exact(loc, math.log(scale), other_loc, other_scale)
    logs = abs(math.log(scale)) + abs(math.log(other_scale))
    assert float(kl) == pytest.approx(
        expected, rel=5e-7, abs=5e-7 * logs * (1 + scale / other_scale)
    )


def test_the_divergence_of_a_scale_of_1e_minus_30_is_68_58():
    q, p = dist.Normal(0.0, 1e-30), dist.Normal(0.0, 1.0)
    assert float(kl_divergence(q, p)) == pytest.approx(30 * math.log(10) - 0.5, rel=1e-6)


def test_the_gradient_is_that_of_the_formula_where_the_square_of_the_ratio_is_none():
    loc, log_scale = torch.tensor([0.5]), torch.tensor([-80.0])
    loc.requires_grad_(), log_scale.requires_grad_()
    prior = GaussianWeights(torch.zeros(1), torch.tensor([2.0]))
    kl_divergence(GaussianWeights(loc, log_scale=log_scale), prior).backward()
    assert float(loc.grad) == pytest.approx(0.5 / 4)
    assert float(log_scale.grad) == pytest.approx(-1.0)  # σ²/s² − 1


@pytest.mark.parametrize("log_scale", [-500.0, -110.0, -69.0, 0.5, 40.0])
def test_the_logarithm_of_a_scale_may_be_of_none_that_single_precision_has(log_scale):
    q = GaussianWeights(torch.tensor([0.3]), log_scale=torch.tensor([log_scale]))
    p = GaussianWeights(torch.zeros(1), torch.ones(1))
    assert float(kl_divergence(q, p)) == pytest.approx(exact(0.3, log_scale, 0, 1), rel=2e-6)
    assert float(q.entropy()) == pytest.approx(log_scale + 0.5 * math.log(2 * math.pi * math.e))
    assert bool(q.scale > 0)
    assert bool(q.rsample().isfinite())


def test_a_scale_and_its_logarithm_are_not_both_taken():
    one = torch.ones(1)
    with pytest.raises(ValueError, match="scale or log_scale must be given, and not both"):
        GaussianWeights(one, one, log_scale=one)
    with pytest.raises(ValueError, match="scale or log_scale must be given"):
        GaussianWeights(one)


def test_gates_count_the_divergence_of_the_open_ones():
    loc, tiny = torch.zeros(2), torch.full((2,), 1e-30)
    q = GatedWeights(loc, tiny, torch.tensor([True, False]), torch.tensor([0.5, 0.5]))
    p = GaussianWeights(torch.zeros(()), torch.ones(()), torch.Size([2]))
    assert float(kl_divergence(q, p)) == pytest.approx(30 * math.log(10) - 0.5, rel=1e-6)


def test_prior_scales_below_the_root_of_the_smallest_number_are_averaged():
    scales = torch.tensor([1e-30, 2e-30])
    p = AveragedWeights(scales, torch.Size([1]))
    q = GaussianWeights(torch.tensor([5e-31]), torch.tensor([3e-31]))
    expected = [exact(5e-31, math.log(3e-31), 0.0, s) for s in (1e-30, 2e-30)]
    assert float(kl_divergence(q, p)) == pytest.approx(sum(expected) / 2, rel=1e-4)


def test_weights_that_follow_their_operation_keep_a_tiny_scale():
    """N(w; 0, v) N(γw; μ, σ²) for σ ≪ γ√v is N(μ/γ, σ²/γ²)."""
    guide = GaussianWeights(torch.tensor([0.6]), torch.tensor([1e-30]))
    prior = GaussianWeights(torch.zeros(1), torch.tensor([2.0]))
    posterior = posterior_given(
        guide, prior, torch.tensor(0.5), coupled=True, is_hard=False, floor=0.1
    )
    assert float(posterior.loc) == pytest.approx(1.2, rel=1e-6)
    assert float(posterior.scale) == pytest.approx(2e-30, rel=1e-5)
    shut = posterior_given(guide, prior, torch.zeros(()), coupled=True, is_hard=False, floor=0.1)
    assert (float(shut.loc), float(shut.scale)) == pytest.approx(
        (0.0, 0.2), rel=1e-5
    )  # the prior's


def test_the_smallest_divergence_of_a_layer_of_tiny_scales():
    """Σ ln(s/σ) at s² = mean(μ² + σ²)."""
    loc, scale = [0.0, 3e-29], [1e-30, 2e-30]
    second = sum(m * m + s * s for m, s in zip(loc, scale, strict=True)) / 2
    expected = math.log(second) - sum(math.log(s) for s in scale)
    kl = bn.complexity.smallest_gaussian_kl(
        [GaussianWeights(torch.tensor(loc), torch.tensor(scale))]
    )
    assert float(kl) == pytest.approx(expected, rel=1e-6)


MODELS = {
    "gaussian": lambda net: bn.models.GaussianNet(net, prior_scale=0.5),
    "spike-and-slab": lambda net: bn.models.SpikeAndSlabNet(net, slab_scale=0.5),
}


@pytest.mark.parametrize("log_scale", [-69.0, -120.0])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_whose_scales_are_tiny_has_a_finite_divergence(name, log_scale):
    model = MODELS[name](bn.nn.mlp([3, 4, 2]))
    with torch.no_grad():
        for parameter in model.variational:
            value = model.variational[parameter]
            if parameter.endswith("log_scale"):
                value.fill_(log_scale)
            elif parameter.endswith("logits"):
                value.fill_(30.0)  # all gates open
    terms = bound_terms(model, torch.randn(5, 3), torch.tensor([0, 1, 0, 1, 1]))
    for site in model.layers.shapes:
        locs = model.variational[f"{site}.loc"].detach().flatten().tolist()
        expected = sum(exact(loc, log_scale, 0.0, 0.5) for loc in locs)
        assert float(terms.kl[site].detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("gamma", "log_precision"), [(g, r) for g in (0.0, 1.0, 1e25) for r in (-5.0, 9.0)]
)
def test_latents_of_an_autoencoder_have_a_posterior_at_any_relevance(gamma, log_precision):
    model = bn.models.ArdVae((4,), latents=1, hidden=())
    gammas = torch.tensor([gamma], requires_grad=True)
    model.networks.encode = lambda x: (torch.tensor([[0.3]]), torch.tensor([[log_precision]]))
    q = model.latent_posterior(torch.zeros(1, 4), gammas)
    precision = math.exp(log_precision)
    variance = 1 / (1 + gamma**2 * precision)
    assert float(q.loc.detach()) == pytest.approx(gamma * precision * 0.3 * variance, rel=1e-5)
    assert float(q.scale.detach()) == pytest.approx(math.sqrt(variance), rel=1e-5)
    divergence = kl_divergence(q, dist.Normal(torch.zeros(1, 1), 1.0))
    expected = exact(float(q.loc.detach()), 0.5 * math.log(variance), 0.0, 1.0)
    assert float(divergence.detach()) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert bool(torch.autograd.grad(divergence.sum(), gammas)[0].isfinite())
