"""The reproduction of the ARD-VAE, at a tiny size."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import integrate, stats

import bayesnas as bn
from bayesnas.reproductions import Request, ard_vae
from bayesnas.reproductions.ard_vae import factors, published, results, settings
from bayesnas.reproductions.ard_vae.measure import binary, importance_nll, measured

SETTINGS = settings.Settings(
    data="digits", examples=200, tested=40, latents=5, hidden=(8,), epochs=2, epochs_along=2,
    seeds=(1, 2), importance_draws=7, factors=(2,), factor_latents=3, factor_steps=8,
    factor_seeds=2, curve_steps=4, kl_weights=(0.5, 2.0),
)  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished reproduction, its folder, and what was said."""
    out, said = tmp_path_factory.mktemp("reproduction"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ard_vae, "prepare", lambda request: (SETTINGS, bn.data.load("digits")))
        patch.setattr(factors, "BOUND_DRAWS", 2)
        first = ard_vae.run(Request(out, say=said.append))
        fitted = list(said)
        patch.setattr(results, "active_factors", None)  # all is kept
        again = ard_vae.run(Request(out, say=said.append))
    assert said == fitted
    assert again.comparisons == first.comparisons
    return first, out, said


def by_labels(reproduced):
    return {(c.quantity, *c.labels.values()): c for c in reproduced.comparisons}


@pytest.mark.slow
def test_every_figure_is_there(done):
    rows = by_labels(done[0])
    theirs = rows["nats an image", "VAE", "negative log-likelihood"]
    assert theirs.published == published.NLL
    assert len(theirs.ours) == 2
    assert theirs.mean < rows["nats an image", "VAE", "negative bound"].mean
    assert rows["nats an image", "VAE", "KL of γ and W"].ours == (0.0, 0.0)
    assert rows["nats an image", "ARD-VAE", "KL of γ and W"].mean > 0
    assert rows["active dimensions", "VAE", "variance"].published == published.ACTIVE
    assert rows["active dimensions", "ARD-VAE", "variance"].published is None
    assert rows["factors found", "2", "gamma"].published == 2
    assert len(rows["factors found", "2", "gamma"].ours) == 2
    assert rows["active dimensions, linear", "one fit over λ", "12"].published == 3
    assert {"0.5", "2"} == {labels[2] for labels in rows if labels[0] == "one fit over λ"}
    assert all(np.isfinite(c.ours).all() for c in done[0].comparisons)


@pytest.mark.slow
def test_the_files_are_written(done):
    reproduced, out, said = done
    for name in ("latents.png", "curve.png"):
        with Image.open(out / name) as picture:
            assert picture.size[0] > 1000
    assert "active dimensions" in (out / "comparison.md").read_text()
    assert len((out / "curve.csv").read_text().splitlines()) == 3
    assert any("VAE, seed 2" in line for line in said)
    assert json.loads((out / "settings.json").read_text())["epochs"] == 2
    assert "seeds (1, 2)" in " ".join(reproduced.remarks)


@pytest.mark.slow
def test_other_settings_are_refused(done):
    other = dataclasses.replace(SETTINGS, epochs=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ard_vae, "prepare", lambda request: (other, bn.data.load("digits")))
        with pytest.raises(ValueError, match="epochs=2, got 3"):
            ard_vae.run(Request(done[1]))


def test_the_settings_of_a_request(tmp_path):
    quick, data = settings.prepare(Request(tmp_path, quick=True, seeds=3))
    assert quick.examples <= len(data.train)
    assert quick.seeds == (1, 2, 3)
    plain = settings.build_model("plain", (64,), quick)
    assert {"relevance.loc", "weight_log_scale"}.isdisjoint(dict(plain.named_parameters()))
    assert plain.observation.binarize


def test_the_likelihood_by_importance_is_that_of_quadrature():
    """One latent, so ln ∫ p(x | z) p(z) dz is a number of one dimension."""
    torch.manual_seed(0)
    model = bn.models.ArdVae(6, 1, hidden=(5,))
    last = model.networks.encoder[-1]
    with torch.no_grad():
        model.weight.mul_(8.0)
        last.weight.mul_(0.3)
        last.bias.copy_(torch.tensor([1.0, -2.0]))  # as wide as p(z | x): no weight is large
    pixels = (torch.rand(3, 6) < 0.5).float()
    weight, gamma = model.point_weight().detach(), model.scales()

    def density(z, row):
        with torch.no_grad():
            output = model.decode(torch.tensor([[z]]) * gamma, weight)
            log_lik = float(model.observation(output).log_prob(pixels[row : row + 1]))
        return math.exp(log_lik) * stats.norm.pdf(z)

    exact = -np.mean([math.log(integrate.quad(density, -8, 8, args=(row,))[0]) for row in range(3)])
    assert importance_nll(model, pixels, 20_000) == pytest.approx(exact, abs=0.03)
    assert importance_nll(model, pixels.repeat(4000, 1), 1) > exact


def test_the_bound_is_above_the_likelihood_and_its_parts_add_up():
    torch.manual_seed(0)
    model = bn.models.ArdVae(6, 2, hidden=(5,), relevance_prior=None, decoder_prior=None)
    pixels = (torch.rand(50, 6) < 0.5).float()
    row = measured(model, pixels, trained_on=100, importance_draws=500)
    assert row.negative_bound == pytest.approx(row.latent_kl - row.log_likelihood)
    assert row.nll is not None
    assert row.nll < row.negative_bound + 0.05
    assert row.shared_kl == 0
    assert measured(model, pixels, trained_on=100).nll is None


def test_pixels_are_drawn_once():
    x = torch.full((4000, 2), 0.3)
    assert binary(x).mean() == pytest.approx(0.3, abs=5.5 * math.sqrt(0.21 / 8000))
    assert torch.equal(binary(x), binary(x))


def test_the_data_of_the_curve_has_the_eigenvalues_that_it_says():
    x = factors.curve_data().double()
    values = torch.linalg.eigvalsh(x.T @ x / len(x)).flip(0)
    assert torch.allclose(values, torch.tensor(factors.VARIANCES).double(), rtol=1e-4)
    counts = [factors.exact_count(kl_weight) for kl_weight in factors.CURVE_WEIGHTS]
    assert counts == [4, 4, 3, 2, 1, 0]


@pytest.mark.slow
def test_one_fit_over_the_kl_weight_has_the_exact_curve():
    """Dimensions open while λ is small everywhere: a closed one has no gradient to open by."""
    points = factors.curve(2_000)
    assert [point.active for point in points] == [point.exact for point in points]
    for point in points:
        assert point.bound > point.separate_bound - 0.05 * abs(point.separate_bound)
