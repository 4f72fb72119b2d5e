"""LatentFeatures against enumeration of z, coordinate ascent, and known glyphs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

import bayesnas as bn
from bayesnas.data.sources.glyphs import glyph_images, glyphs
from bayesnas.distributions.deferred.deferred import Deferred
from bayesnas.models.base import BayesianModel
from bayesnas.models.nonparametric.latent_features import LatentFeatures
from bayesnas.testing import ModelContract

Data = tuple[Tensor, Tensor]


class TestLearned(ModelContract):
    def make_model(self) -> BayesianModel:
        return bn.models.LatentFeatures(5, latents=3, feature_scale=None)

    def make_data(self) -> Data:
        x = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
        return x, x


@pytest.mark.slow
class TestFixed(TestLearned):
    def make_model(self) -> BayesianModel:
        return bn.models.LatentFeatures(5, 2, 2.0, noise_scale=0.5, sweeps=1)


def random_model(features: int = 3, sweeps: int = 1) -> tuple[LatentFeatures, Tensor]:
    torch.manual_seed(0)
    model = LatentFeatures(4, features, noise_scale=0.7, sweeps=sweeps)
    with torch.no_grad():
        model.loc.normal_()
        model.log_scale.uniform_(-2, -0.5)
    return model, torch.randn(6, 4)


def test_the_likelihood_is_an_expectation_over_z_and_features() -> None:
    """Over z by enumeration, over A by the Gaussian's second moments."""
    model, x = random_model()
    logits = torch.randn(6, 3)
    z = Deferred(Bernoulli(logits=logits)).rsample()
    a = Deferred(model.feature_posterior()).rsample()
    with torch.no_grad():
        log_lik = model.observation(z, a).log_prob(x).sum(-1)
        draws = model.feature_posterior().sample(torch.Size([20_000]))
        total = torch.zeros(20_000, 6)
        for pattern in itertools.product([0.0, 1.0], repeat=3):
            chosen = torch.tensor(pattern)
            p = Bernoulli(logits=logits).log_prob(chosen).sum(-1).exp()
            mean = (chosen[:, None] * draws).sum(1)  # [draws, D]
            total += p * Normal(mean[:, None], 0.7).log_prob(x).sum(-1)
    error = total.std(0) / 20_000**0.5
    assert bool(((log_lik - total.mean(0)).abs() < 5.5 * error).all())


def local_bound(model: LatentFeatures, x: Tensor, logits: Tensor, prior: Tensor) -> Tensor:
    z = Deferred(Bernoulli(logits=logits)).rsample()
    a = Deferred(model.feature_posterior()).rsample()
    divergence = kl_divergence(Bernoulli(logits=logits), Bernoulli(logits=prior.expand(6, -1)))
    return model.observation(z, a).log_prob(x).sum(-1) - divergence.sum(-1)


def test_every_sweep_raises_the_bound_to_a_stationary_point() -> None:
    prior = torch.tensor([0.5, -0.3, -1.0])
    bounds = []
    for sweeps in (1, 2, 4, 30):
        model, x = random_model(sweeps=sweeps)
        logits = model.assignment_logits(x, prior)
        bounds.append(local_bound(model, x, logits, prior))
    for lower, higher in itertools.pairwise(bounds):
        assert bool((higher >= lower - 1e-5).all())
    (slope,) = torch.autograd.grad(bounds[-1].sum(), logits)
    assert float(slope.abs().max()) < 1e-4


def test_one_feature_has_its_exact_posterior_given_the_loadings() -> None:
    """With certain loadings: Bayes's rule."""
    model, x = random_model(features=1)
    with torch.no_grad():
        model.log_scale.fill_(-20.0)
        prior = torch.tensor([0.4])
        log_on = Normal(model.loc[0], 0.7).log_prob(x).sum(-1)
        log_off = Normal(0.0, 0.7).log_prob(x).sum(-1)
        logits = model.assignment_logits(x, prior)[:, 0]
    assert torch.allclose(logits, 0.4 + log_on - log_off, atol=1e-4)


@pytest.mark.slow
def test_it_finds_the_four_glyphs() -> None:
    """The better of two starts by the bound, with the noise."""
    x, _ = glyph_images()
    model = bn.models.LatentFeatures(36, 8, sweeps=2)
    post = bn.fit(
        model, (x, x), steps=200, batch_size=100, lr=0.02, restarts=2, device="cpu",
        progress=False, compile=False,
    )  # fmt: skip
    fitted = post.model
    assert isinstance(fitted, LatentFeatures)
    used = fitted.used(x)
    assert int(used.sum()) == 4
    correlation = np.corrcoef(np.vstack([glyphs().numpy(), fitted.loc.detach()[used].numpy()]))
    assert (correlation[:4, 4:].max(1) > 0.9).all()
    assert float(fitted.log_noise_scale.detach().exp()) == pytest.approx(0.5, rel=0.05)
    assert float((fitted.reconstruct(x) - x).std()) < 0.5
    inclusion = fitted.structure()["inclusion"]
    assert inclusion.dims == ("feature",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mass": 0.0}, "mass must be a finite number > 0, got 0.0"),
        ({"latents": 0}, "latents must be a whole number >= 1, got 0"),
        ({"in_features": -1}, "in_features must be a whole number >= 1"),
        ({"noise_scale": -0.1}, "noise_scale must be a finite number > 0"),
        ({"feature_scale": 0.0}, "feature_scale must be a finite number > 0"),
        ({"sweeps": 0}, "sweeps must be a whole number >= 1"),
        ({"latents": 10**12}, "latents=1000000000000 takes about .* MiB"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LatentFeatures(**{"in_features": 4, **arguments})  # type: ignore[arg-type]


def test_data_of_another_shape_are_named() -> None:
    model, x = LatentFeatures(4, 2), torch.randn(5, 4)
    with pytest.raises(ValueError, match=r"x must have shape \['n', 4\], got \[5, 3\]"):
        model.activity(x[:, :3])
    with pytest.raises(ValueError, match=r"y must have shape .*pairs \(x, x\).*got \[5\]"):
        bn.fit(model, (x, x[:, 0]), steps=1)
