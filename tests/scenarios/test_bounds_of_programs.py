"""Programs whose bound would be none: refused by name, or counted as they have to be.

One weight w ~ N(0, 1) of a line; the evidence is that of the Gaussian of all targets.
"""

from __future__ import annotations

import math
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import (
    AutoHierarchicalNormalMessenger,
    AutoIAFNormal,
    AutoNormal,
    AutoNormalMessenger,
)
from pyro.infer.reparam import HaarReparam, LocScaleReparam, SplitReparam, TransformReparam
from torch import Tensor
from torch.distributions import constraints, kl_divergence
from torch.distributions.transforms import AffineTransform

import bayesnas as bn
from bayesnas.inference.elbo.bound import bound_terms

N, NOISE = 12, 0.5
GENERATOR = torch.Generator().manual_seed(5)
X = torch.randn(N, generator=GENERATOR)
Y = 1.5 * X + NOISE * torch.randn(N, generator=GENERATOR)
SEEN = torch.arange(N) % 3 > 0
MASKED = torch.stack([X, SEEN.float()], 1)
BRIEF: dict[str, Any] = {"steps": 2, "lr": 1e-3, "progress": False}


def evidence(x: Tensor = X, y: Tensor = Y) -> float:
    covariance = NOISE**2 * torch.eye(len(x)) + x[:, None] * x
    return float(dist.MultivariateNormal(torch.zeros(len(x)), covariance).log_prob(y))


def line(x: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(w * x, NOISE), obs=y)


def guide(x: Tensor, y: Tensor | None = None) -> None:
    loc = pyro.param("loc", torch.tensor(1.4))
    scale = pyro.param("scale", torch.tensor(0.2), constraint=constraints.positive)
    pyro.sample("w", dist.Normal(loc, scale))


def plane(x: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(w[0] * x + w[1], NOISE), obs=y)


def brief(model: Any, guide: Any = guide, data: Any = (X, Y), **options: Any) -> bn.Posterior:
    fit = {"batch_size": N, **BRIEF, **options}
    elbo = fit.pop("elbo", None)
    return bn.fit(bn.models.PyroPair(model, guide, elbo=elbo), data, **fit)


# Values that are functions of others -------------------------------------------------------------


def affine(x: Tensor, y: Tensor | None = None) -> None:
    prior = dist.TransformedDistribution(dist.Normal(0.0, 1.0), [AffineTransform(0.5, 2.0)])
    w = pyro.sample("w", prior)
    with pyro.plate("data", len(x)):
        pyro.sample("seen", dist.Normal(w * x, NOISE), obs=y)


def renamed(x: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.5, 2.0))
    with pyro.plate("data", len(x)):
        pyro.sample("seen", dist.Normal(w * x, NOISE), obs=y)


@pytest.mark.parametrize(
    ("model", "how", "base", "value"),
    [
        (affine, TransformReparam(), "w_base", lambda base: 0.5 + 2.0 * base),
        (renamed, LocScaleReparam(0.0), "w_decentered", lambda base: 0.5 + 2.0 * base),
        (plane, HaarReparam(-1), "w_haar", None),
    ],
)
def test_what_a_reparameterisation_notes_is_exported(
    model: Any, how: Any, base: str, value: Any
) -> None:
    """And is no site of targets: these are the one that is observed, whatever its name."""
    program = poutine.reparam(model, config={"w": how})
    post = brief(program, AutoNormal(program))
    drawn = post.to_arviz(draws=20, data=(X, Y))["posterior"]
    w, b = (torch.tensor(drawn[name].values) for name in ("w", base))
    expected = b.square().sum(-1) if value is None else value(b)  # a rotation keeps the length
    actual = w.square().sum(-1) if value is None else w
    assert torch.allclose(actual, expected, atol=1e-4)


def with_delta(x: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    term = dist.Delta(torch.zeros(()), log_density=-(w**2))
    pyro.sample("term", term, obs=torch.zeros(()))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(w * x, NOISE), obs=y)


@pytest.mark.parametrize("elbo", [None, Trace_ELBO()], ids=["ours", "Pyro's"])
@pytest.mark.parametrize("case", ["SplitReparam", "by hand"])
def test_densities_of_observed_deltas_are_named(case: str, elbo: Any) -> None:
    """They were left out: the first was fitted without its prior."""
    split = poutine.reparam(plane, config={"w": SplitReparam([1, 1], -1)})
    model, q = (with_delta, guide) if case == "by hand" else (split, AutoNormal(split))
    with pytest.raises(ValueError, match=r"\['(w|term)'\] at a Delta that has a log density"):
        brief(model, q, elbo=elbo)


# Auxiliary sites ---------------------------------------------------------------------------------


def with_noise(*, masked: bool) -> Any:
    """w given an auxiliary a: q(a, w) is not q(w), whose entropy is less."""

    def noisy(x: Tensor, y: Tensor | None = None) -> None:
        noise = dist.Normal(0.0, 1.0)
        auxiliary = noise.mask(False) if masked else noise
        a = pyro.sample("a", auxiliary, infer={"is_auxiliary": True})
        pyro.sample("w", dist.Normal(pyro.param("m", torch.tensor(1.4)) + 0.05 * a, 0.1))

    return noisy


@pytest.mark.parametrize("elbo", [None, Trace_ELBO()], ids=["ours", "Pyro's"])
def test_auxiliary_sites_that_are_no_value_of_a_latent_are_named(elbo: Any) -> None:
    """The bound was above the evidence by the entropy of q(a | w), 1.3 nats."""
    with pytest.raises(ValueError, match=r"\['a'\] of noisy have 1 values, and its Delta sites 0"):
        brief(line, with_noise(masked=False), elbo=elbo)


def test_masked_ones_give_a_lower_bound() -> None:
    post = brief(line, with_noise(masked=True))
    metrics = post.evaluate((X, Y), draws=200)
    # Five standard errors and the entropy that is lost, ln(√(.1² + .05²) / .1) = .11.
    assert metrics["elbo"] < evidence() + 5 * metrics["elbo_error"]
    assert list(post.sample(draws=2)) == ["w"]


# Missing values ----------------------------------------------------------------------------------


def with_missing(x: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(w * x[:, 0], NOISE), obs=y, obs_mask=x[:, 1] > 0)


def imputing(*, masked: bool) -> Any:
    def imputes(x: Tensor, y: Tensor | None = None) -> None:
        guide(x)
        scale = pyro.param("s", torch.tensor(0.6), constraint=constraints.positive)
        mask = x[:, 1] == 0 if masked else torch.ones(len(x), dtype=torch.bool)
        with pyro.plate("data", len(x)), poutine.mask(mask=mask):
            pyro.sample("y_unobserved", dist.Normal(1.4 * x[:, 0], scale))

    return imputes


@pytest.mark.parametrize(
    ("q", "batch_size"),
    [(imputing(masked=False), 5), (imputing(masked=False), N), (AutoNormal(with_missing), N)],
)
def test_latents_that_only_the_model_masks_are_named(q: Any, batch_size: int) -> None:
    """Their entropy in the guide stood against no prior, and grew without end."""
    with pytest.raises(ValueError, match="'y_unobserved' is masked in the model.*leave obs_mask="):
        brief(with_missing, q, (MASKED, Y), batch_size=batch_size)


@pytest.mark.slow_except("5")
@pytest.mark.parametrize("batch_size", [5, N])
def test_where_both_are_masked_it_is_a_bound_for_what_is_seen(batch_size: int) -> None:
    post = brief(with_missing, imputing(masked=True), (MASKED, Y), batch_size=batch_size)
    w = dist.Normal(post.model.own["loc"].detach(), post.model.own["scale"].detach().exp())
    scale = post.model.own["s"].detach().exp()
    hidden = MASKED[~SEEN, 0]
    # KL of N(1.4 x, s) from N(w x, σ) at the mean of w, and the spread of w on top.
    of_rows = kl_divergence(dist.Normal(1.4 * hidden, scale), dist.Normal(w.loc * hidden, NOISE))
    spread = 0.5 * (hidden * w.scale / NOISE).square()
    expected = kl_divergence(w, dist.Normal(0.0, 1.0)) + (of_rows + spread).sum()
    metrics = post.evaluate((MASKED, Y), draws=400)
    assert metrics["kl"] == pytest.approx(float(expected), abs=6 * 2.5 / math.sqrt(400))
    assert metrics["elbo"] < evidence(X[SEEN], Y[SEEN]) + 5 * metrics["elbo_error"]


# Guides that run the model -----------------------------------------------------------------------


def test_a_guide_that_observes_the_targets_is_named() -> None:
    """What the model observes would be a part of log q."""

    def looking(x: Tensor, y: Tensor | None = None) -> None:
        guide(x)
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(0.0, 1.0), obs=x if y is None else y)

    with pytest.raises(ValueError, match=r"got the observed sites \['y'\] of the model in it"):
        brief(line, looking)


@pytest.mark.parametrize("kind", [AutoNormalMessenger, AutoHierarchicalNormalMessenger])
def test_messengers_are_guides_of_the_latent_sites(kind: Any, tmp_path: Any) -> None:
    """Their terms by hand, on all rows and on others, with targets and without; saved, too."""
    post = brief(line, kind(line), batch_size=5)
    terms = bound_terms(post.model, X, Y)
    q = dist.Normal(post.model.guide_fn.locs.w.detach(), post.model.guide_fn.scales.w.detach())
    assert list(terms.kl) == ["w"]
    draws = torch.stack([bound_terms(post.model, X, Y).kl["w"].detach() for _ in range(400)])
    expected = float(kl_divergence(q, dist.Normal(0.0, 1.0)))
    # Drawn: ln q − ln p has a deviation below .7 at these scales.
    assert float(draws.mean()) == pytest.approx(expected, abs=6 * 0.7 / math.sqrt(400))
    w = post.sample(draws=10)["w"]
    others = X[:5] + 1.0
    assert torch.allclose(post.predict(others, draws=10), w[:, None] * others, atol=1e-5)
    assert list(post.to_arviz(draws=2, data=(X, Y))["posterior"].data_vars) == ["w"]
    post.save(tmp_path / "run")
    again = bn.load(tmp_path / "run", model=bn.models.PyroPair(line, kind(line)))
    assert torch.equal(again.predict(others, draws=3), post.predict(others, draws=3))


def test_messengers_have_a_value_for_every_row() -> None:
    def model(x: Tensor, y: Tensor | None = None) -> None:
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("y", dist.Normal(z, 1.0), obs=y)

    post = brief(model, AutoNormalMessenger(model))
    metrics = post.evaluate((X, Y), draws=200)
    exact = float(dist.Normal(0.0, math.sqrt(2.0)).log_prob(Y).sum())
    assert metrics["elbo"] < exact + 5 * metrics["elbo_error"]
    with pytest.raises(ValueError, match="batch_size=12, got 5"):
        brief(model, AutoNormalMessenger(model), batch_size=5)


@pytest.mark.parametrize("kind", [AutoNormalMessenger, AutoIAFNormal])
def test_means_of_what_is_transformed_are_transformed_means(kind: Any) -> None:
    """As every autoguide has them, where torch knows no mean."""
    post = brief(plane, kind(plane))
    if kind is AutoNormalMessenger:
        w = post.model.guide_fn.locs.w.detach()
    else:
        guide = post.model.guide_fn
        w = guide.get_posterior().transforms[0](torch.zeros(2)).detach()
    log_lik = dist.Normal(w[0] * X + w[1], NOISE).log_prob(Y).sum()
    actual = post.evaluate((X, Y), draws=0)["expected_log_lik"]
    assert actual == pytest.approx(float(log_lik), rel=1e-4)


# Plates ------------------------------------------------------------------------------------------


def test_groups_of_a_batch_are_no_rows_of_it() -> None:
    """Three rows of three groups: the plate was taken for one of rows, and counted N / 3 times."""
    data = torch.stack([X, torch.arange(N) % 4.0], 1), Y

    def groups(x: Tensor, y: Tensor | None = None) -> None:
        kinds, of_row = x[:, 1].long().unique(return_inverse=True)
        with pyro.plate("groups", len(kinds)):
            a = pyro.sample("a", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(a[of_row], NOISE), obs=y)

    def of_groups(x: Tensor, y: Tensor | None = None) -> None:
        kinds = x[:, 1].long().unique()
        with pyro.plate("groups", len(kinds)):
            pyro.sample("a", dist.Normal(pyro.param("m", torch.zeros(4))[kinds], 0.3))

    for batch_size in (1, 2, 3, 5):
        with pytest.raises(ValueError, match=r"\['a'\].*batch_size=12, got"):
            brief(groups, of_groups, data, batch_size=batch_size)
    kl = brief(groups, of_groups, data, lr=1e-9).evaluate(data, draws=3)["kl"]
    expected = 4 * kl_divergence(dist.Normal(0.0, 0.3), dist.Normal(0.0, 1.0))
    assert kl == pytest.approx(float(expected), rel=1e-4)
