"""Handlers and sites of a user's Pyro program: fit, evaluation, export and k̂, by hand.

One weight w ~ N(0, 1) and Gaussian observations: the posterior at λ = 1 is known exactly, and so is
every log-density at a draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceEnum_ELBO, config_enumerate
from pyro.nn import PyroModule, PyroSample
from torch import Tensor, nn
from torch.distributions import constraints

import bayesnas as bn

N, NOISE = 20, 0.5
GENERATOR = torch.Generator().manual_seed(3)
X = torch.randn(N, generator=GENERATOR)
SEEN = torch.rand(N, generator=GENERATOR) > 0.5
Y = torch.where(SEEN, 1.5 * X + NOISE * torch.randn(N, generator=GENERATOR), torch.tensor(99.0))
Z = torch.stack([X, SEEN.float()], 1)
CLEAN = 1.5 * X + NOISE * torch.randn(N, generator=GENERATOR)


# Traced, for speed; the learning rate falls to 0, so minibatches leave little noise.
CONVERGED: dict[str, Any] = {
    "steps": 500, "lr": 0.05, "schedule": "cosine", "compile": "trace", "progress": False,
}  # fmt: skip


def guide(x: Tensor, y: Tensor | None = None) -> None:
    loc = pyro.param("loc", torch.tensor(0.0))
    scale = pyro.param("scale", torch.tensor(0.3), constraint=constraints.positive)
    pyro.sample("w", dist.Normal(loc, scale))


def masked(z: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(z)), poutine.mask(mask=z[:, 1] > 0):
        pyro.sample("y", dist.Normal(w * z[:, 0], NOISE), obs=y)


def masked_distribution(z: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(z)):
        pyro.sample("y", dist.Normal(w * z[:, 0], NOISE).mask(z[:, 1] > 0), obs=y)


def scaled(z: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(z)), poutine.scale(scale=0.25):
        pyro.sample("y", dist.Normal(w * z[:, 0], NOISE), obs=y)


def weighted(z: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(z)), poutine.scale(scale=1.0 + z[:, 1]):
        pyro.sample("y", dist.Normal(w * z[:, 0], NOISE), obs=y)


def factor_outside(z: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    pyro.factor("pull", dist.Normal(3.0, 0.1).log_prob(w))
    with pyro.plate("data", len(z)):
        pyro.sample("y", dist.Normal(w * z[:, 0], NOISE), obs=y)


def factor_inside(z: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(z)):
        pyro.factor("pull", -0.5 * (w - z[:, 0]) ** 2)
        pyro.sample("y", dist.Normal(w * z[:, 0], NOISE), obs=y)


def pseudo_observation(z: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    pyro.sample("rule", dist.Normal(w, 0.1), obs=torch.tensor(3.0))
    with pyro.plate("data", len(z)):
        pyro.sample("y", dist.Normal(w * z[:, 0], NOISE), obs=y)


def other_names(z: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    pyro.deterministic("twice", 2 * w)
    with pyro.plate("cases", len(z)):
        pyro.deterministic("line", w * z[:, 0], event_dim=0)
        pyro.sample("outcome", dist.Normal(w * z[:, 0], NOISE), obs=y)


def two_observed(z: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    with pyro.plate("cases", len(z)):
        pyro.sample("seen", dist.Normal(w, 2.0), obs=z[:, 1])
        pyro.sample("y", dist.Normal(w * z[:, 0], NOISE), obs=y)


def no_plate(z: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    pyro.sample("y", dist.Normal(w * z[:, 0], NOISE).to_event(1), obs=y)


def own_scale(z: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    with pyro.plate("data", N, subsample_size=len(z)):
        pyro.sample("y", dist.Normal(w * z[:, 0], NOISE), obs=y)


class Line(PyroModule):  # type: ignore[misc]
    """A module with a weight that is sampled."""

    def __init__(self) -> None:
        super().__init__()
        self.w = PyroSample(dist.Normal(0.0, 1.0))

    def forward(self, z: Tensor, y: Tensor | None = None) -> None:
        w = self.w
        with pyro.plate("data", len(z)):
            pyro.sample("y", dist.Normal(w * z[:, 0], NOISE), obs=y)


@dataclass
class Program:
    """A program, and by hand its log-density of data as −½ a w² + b w + c."""

    model: Callable[..., Any]
    y: Tensor
    rows: Callable[[Tensor], Tensor]
    once: Callable[[Tensor], Tensor] = lambda w: torch.zeros(())
    target: str = "y"


def gaussian(w: Tensor) -> Tensor:
    return dist.Normal(w * X, NOISE).log_prob(CLEAN)


PROGRAMS = {
    "mask": Program(masked, Y, lambda w: dist.Normal(w * X, NOISE).log_prob(Y) * SEEN),
    "masked distribution": Program(
        masked_distribution, Y, lambda w: dist.Normal(w * X, NOISE).log_prob(Y) * SEEN
    ),
    "scale": Program(scaled, CLEAN, lambda w: 0.25 * gaussian(w)),
    "weights": Program(weighted, CLEAN, lambda w: (1.0 + SEEN) * gaussian(w)),
    "factor outside": Program(
        factor_outside, CLEAN, gaussian, lambda w: dist.Normal(3.0, 0.1).log_prob(w)
    ),
    "factor inside": Program(factor_inside, CLEAN, lambda w: gaussian(w) - 0.5 * (w - X) ** 2),
    "pseudo-observation": Program(
        pseudo_observation, CLEAN, gaussian, lambda w: dist.Normal(3.0, 0.1).log_prob(w)
    ),
    "other names": Program(other_names, CLEAN, gaussian, target="outcome"),
    "two observed": Program(
        two_observed, CLEAN, lambda w: gaussian(w) + dist.Normal(w, 2.0).log_prob(SEEN.float())
    ),
    "no plate": Program(no_plate, CLEAN, gaussian),
    "own scale": Program(own_scale, CLEAN, gaussian),
    "PyroSample": Program(Line(), CLEAN, gaussian),
}


def exact(program: Program) -> tuple[float, float]:
    """Mean and standard deviation of the posterior, from three values of the log joint."""

    def log_joint(w: float) -> float:
        value = torch.tensor(w, dtype=torch.float64)
        return float(program.rows(value).double().sum() + program.once(value) - 0.5 * value**2)

    low, middle, high = log_joint(-1.0), log_joint(0.0), log_joint(1.0)
    precision, slope = 2 * middle - low - high, (high - low) / 2
    return slope / precision, precision**-0.5


def watched(model: Callable[..., Any], seen: dict[str, Any]) -> Callable[..., None]:
    """A program that notes its draw of w and the rows that it is shown."""

    def program(z: Tensor, y: Tensor | None = None) -> None:
        with poutine.trace() as tracer:
            model(z, y)
        seen["w"] = tracer.trace.nodes["w"]["value"].detach()
        seen["rows"] = [int((row == X).nonzero()) for row in z[:, 0]]

    return program


@pytest.mark.parametrize("elbo", [None, Trace_ELBO()], ids=["ours", "Pyro's"])
@pytest.mark.parametrize("batch_size", [1, 7, N])
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "PyroSample"])
def test_the_terms_of_every_batch_are_those_by_hand(name: str, batch_size: int, elbo: Any) -> None:
    """N/B times the rows of the batch, and once what belongs to no row, at the draw of the step."""
    program = PROGRAMS[name]
    seen: dict[str, Any] = {}
    by_hand, kl = [], []
    q, p = dist.Normal(0.0, 0.3), dist.Normal(0.0, 1.0)  # the guide as it starts

    def after_step(event: Any) -> None:
        w = seen["w"]
        rows = program.rows(w)[seen["rows"]]
        by_hand.append(float(N / len(rows) * rows.sum() + program.once(w)))
        kl.append(float(q.log_prob(w) - p.log_prob(w)))

    pair = bn.models.PyroPair(watched(program.model, seen), guide, elbo=elbo)
    post = bn.fit(
        pair, (Z, program.y), batch_size=batch_size, steps=4, lr=1e-9, kl_weight=0.5,
        on_step=after_step, compile=False,
    )  # fmt: skip
    history = post.history()
    log_lik = history["expected_log_lik"].values[0]
    if elbo is None:
        assert log_lik == pytest.approx(by_hand, rel=1e-4)
        exact_kl = float(torch.distributions.kl_divergence(q, p))
        assert history["kl"].values[0] == pytest.approx([exact_kl] * 4, rel=1e-4)
    else:  # the whole bound stands there
        bounds = [lik - 0.5 * divergence for lik, divergence in zip(by_hand, kl, strict=True)]
        assert log_lik == pytest.approx(bounds, rel=1e-4, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("elbo", [None, Trace_ELBO(num_particles=2)], ids=["ours", "Pyro's"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_fit_reaches_the_exact_posterior(name: str, elbo: Any) -> None:
    program = PROGRAMS[name]
    pair = bn.models.PyroPair(program.model, guide, elbo=elbo)
    post = bn.fit(pair, (Z, program.y), batch_size=N, **CONVERGED | {"steps": 2000})
    mean, deviation = exact(program)
    loc, scale = (post.model.own[n].detach() for n in ("loc", "scale"))
    assert abs(float(loc) - mean) < 0.3 * deviation + 0.01 * abs(mean)
    assert float(scale.exp()) == pytest.approx(deviation, rel=0.15)


@pytest.fixture(scope="module")
def fits() -> dict[str, bn.Posterior]:
    return {
        name: bn.fit(
            bn.models.PyroPair(program.model, guide), (Z, program.y), batch_size=7,
            steps=20, lr=0.01, progress=False,
        )
        for name, program in PROGRAMS.items()
    }  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_evaluation_and_export_are_those_of_the_draws(name: str, fits: Any) -> None:
    program, post = PROGRAMS[name], fits[name]
    data = (Z, program.y)
    tree = post.to_arviz(draws=6, data=data)
    assert set(tree["posterior"].data_vars) == {"w"} | (
        {"twice"} if name == "other names" else set()
    )
    draws = torch.tensor(tree["posterior"]["w"].values[0])
    rows = torch.stack([program.rows(w) for w in draws])
    log_lik = torch.tensor(tree["log_likelihood"][program.target].values[0])
    assert torch.allclose(log_lik, rows.double(), atol=1e-4)
    once = torch.stack([program.once(w) for w in draws])
    lp = rows.sum(-1) + once + dist.Normal(0.0, 1.0).log_prob(draws)
    stats = torch.tensor(tree["sample_stats"]["lp"].values[0])
    assert torch.allclose(stats.float(), lp, rtol=1e-4, atol=1e-3)
    if name == "other names":
        twice = torch.tensor(tree["posterior"]["twice"].values[0])
        assert torch.allclose(twice, 2 * draws)

    values = post.sample(draws=40)["w"]  # the draws of the evaluation, by one seed
    terms = torch.stack([program.rows(w).sum() + program.once(w) for w in values])
    metrics = post.evaluate(data, draws=40)
    assert metrics["expected_log_lik"] == pytest.approx(float(terms.mean()), rel=1e-4)
    rows = torch.stack([program.rows(w) for w in values])
    seen = SEEN if "mask" in name else torch.ones(N, dtype=torch.bool)  # what counts in a mean
    nll = math.log(40) - torch.logsumexp(rows, 0)[seen].mean()
    assert metrics["nll"] == pytest.approx(float(nll), rel=1e-3)
    loc, scale = post.model.own["loc"].detach(), post.model.own["scale"].detach().exp()
    kl = torch.distributions.kl_divergence(dist.Normal(loc, scale), dist.Normal(0.0, 1.0))
    assert metrics["kl"] == pytest.approx(float(kl), rel=1e-4)
    assert post.predict(Z, draws=3).shape == (3, N)
    assert math.isfinite(post.pareto_k(data, draws=100))


# Latents of the rows -------------------------------------------------------------------------


def rows_model(plate: str) -> Any:
    def model(x: Tensor, y: Tensor | None = None) -> None:
        with pyro.plate(plate, len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
        with pyro.plate(f"{plate} seen", len(x)):
            pyro.sample("y", dist.Normal(z, 1.0), obs=y)

    return model


def rows_guide(plate: str) -> Any:
    def guide(x: Tensor, y: Tensor | None = None) -> None:
        slope = pyro.param("slope", torch.tensor(0.1))
        scale = pyro.param("scale", torch.tensor(0.3), constraint=constraints.positive)
        with pyro.plate(plate, len(x)):
            pyro.sample("z", dist.Normal(slope * x, scale))

    return guide


@pytest.mark.slow_except("plates0-7", "plates1-1", "plates2-20")
@pytest.mark.parametrize("batch_size", [1, 7, N])
@pytest.mark.parametrize("plates", [("data", "data"), ("rows", "rows"), ("n", "own")])
def test_latents_of_every_row_in_any_plate(plates: tuple[str, str], batch_size: int) -> None:
    """Of z ~ N(0, 1), y ~ N(z, 1) the posterior is N(y / 2, ½)."""
    pair = bn.models.PyroPair(rows_model(plates[0]), rows_guide(plates[1]))
    post = bn.fit(pair, (X, X), batch_size=batch_size, **CONVERGED)
    slope, scale = post.model.own["slope"].detach(), post.model.own["scale"].detach().exp()
    assert float(scale) == pytest.approx(math.sqrt(0.5), abs=0.07)
    assert float(slope) == pytest.approx(0.5, abs=0.15)
    kl = dist.Normal(slope * X, scale)
    by_hand = torch.distributions.kl_divergence(kl, dist.Normal(0.0, 1.0)).sum()
    assert post.evaluate((X, X), draws=3)["kl"] == pytest.approx(float(by_hand), rel=1e-3)


def test_a_plate_of_features_as_long_as_a_batch_is_not_one_of_rows() -> None:
    """Five coefficients and batches of five: their divergence counts once."""

    def model(x: Tensor, y: Tensor | None = None) -> None:
        with pyro.plate("features", 5):
            w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(x @ w, NOISE), obs=y)

    def guide(x: Tensor, y: Tensor | None = None) -> None:
        loc = pyro.param("loc", torch.full((5,), 0.3))
        with pyro.plate("features", 5):
            pyro.sample("w", dist.Normal(loc, 0.2))

    x = torch.randn(N, 5, generator=torch.Generator().manual_seed(0))
    pair = bn.models.PyroPair(model, guide)
    post = bn.fit(pair, (x, x.sum(1)), batch_size=5, steps=1, lr=1e-9, progress=False)
    kl = 5 * (0.5 * (0.04 + 0.09 - 1) - math.log(0.2))
    assert float(post.history()["kl"][0, 0]) == pytest.approx(kl, rel=1e-4)


def test_latents_of_the_rows_without_a_plate_are_refused_in_minibatches() -> None:
    def model(x: Tensor, y: Tensor | None = None) -> None:
        z = pyro.sample("z", dist.Normal(torch.zeros(len(x)), 1.0).to_event(1))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(z, 1.0), obs=y)

    def guide(x: Tensor, y: Tensor | None = None) -> None:
        pyro.sample("z", dist.Normal(pyro.param("s", torch.tensor(0.1)) * x, 1.0).to_event(1))

    with pytest.raises(ValueError, match=r"\['z'\] follow the rows but stand in no plate"):
        bn.fit(bn.models.PyroPair(model, guide), (X, X), batch_size=7, steps=2, progress=False)


def test_rows_drawn_by_the_program_itself_are_trained_with_and_named_in_evaluation() -> None:
    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x), subsample_size=8) as index:
            likelihood = dist.Normal(w * x[index], NOISE)
            pyro.sample("y", likelihood, obs=None if y is None else y[index])

    post = bn.fit(bn.models.PyroPair(model, guide), (X, CLEAN), **CONVERGED)
    mean, deviation = exact(PROGRAMS["no plate"])
    assert abs(float(post.model.own["loc"].detach()) - mean) < deviation
    assert float(post.model.own["scale"].detach().exp()) == pytest.approx(deviation, rel=0.3)
    with pytest.raises(ValueError, match="'y' must have a log density for each of 20 examples"):
        post.evaluate((X, CLEAN))


# Discrete sites --------------------------------------------------------------------------------


@config_enumerate
def mixture(x: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(x)):
        z = pyro.sample("k", dist.Bernoulli(0.5))
        pyro.sample("y", dist.Normal(w + 2.0 * z, NOISE), obs=y)


@pytest.mark.slow_except("0.3-7")
@pytest.mark.parametrize("batch_size", [7, N])
@pytest.mark.parametrize("kl_weight", [0.3, 3.0])
def test_summed_sites_belong_to_the_likelihood(batch_size: int, kl_weight: float) -> None:
    """Against quadrature of p(w) (Σ_k p(y, k | w))^(1/λ)."""
    y = torch.cat([0.3 + 0.2 * X[:10], 2.3 + 0.2 * X[10:]])
    pair = bn.models.PyroPair(mixture, guide, elbo=TraceEnum_ELBO(max_plate_nesting=1))
    post = bn.fit(pair, (X, y), kl_weight=kl_weight, batch_size=batch_size, **CONVERGED)
    grid = torch.linspace(-3, 3, 4001)
    components = [dist.Normal(grid[:, None] + 2.0 * k, NOISE).log_prob(y) for k in (0, 1)]
    log_lik = (torch.logaddexp(*components) - math.log(2)).sum(-1)
    weights = torch.softmax(dist.Normal(0.0, 1.0).log_prob(grid) + log_lik / kl_weight, 0)
    mean = float((weights * grid).sum())
    deviation = float((weights * (grid - mean) ** 2).sum().sqrt())
    assert abs(float(post.model.own["loc"].detach()) - mean) < 0.6 * deviation + 0.02
    assert float(post.model.own["scale"].detach().exp()) == pytest.approx(deviation, rel=0.25)
    # Evaluation sums the sites out as well: by hand, at the draws of one seed.
    values = post.sample(draws=30)["w"]
    joint = [dist.Normal(values[:, None] + 2.0 * k, NOISE).log_prob(y) for k in (0, 1)]
    rows = torch.logaddexp(*joint) - math.log(2)
    metrics = post.evaluate((X, y), draws=30)
    assert metrics["expected_log_lik"] == pytest.approx(float(rows.sum(-1).mean()), rel=1e-4)
    nll = math.log(30) - torch.logsumexp(rows, 0).mean()
    assert metrics["nll"] == pytest.approx(float(nll), rel=1e-4)
    loc, scale = post.model.own["loc"].detach(), post.model.own["scale"].detach().exp()
    kl = torch.distributions.kl_divergence(dist.Normal(loc, scale), dist.Normal(0.0, 1.0))
    assert metrics["kl"] == pytest.approx(float(kl), rel=1e-4)
    means = post.predict(X, draws=30)
    assert torch.allclose(means, (values[:, None] + 1.0).expand(30, N), atol=1e-5)
    log_lik = post.to_arviz(draws=3, data=(X, y))["log_likelihood"]["y"]
    assert log_lik.shape == (1, 3, N)


def test_summed_sites_that_examples_share_are_named() -> None:
    @config_enumerate
    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        k = pyro.sample("k", dist.Bernoulli(0.5))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(w + 2.0 * k, NOISE), obs=y)

    pair = bn.models.PyroPair(model, guide, elbo=TraceEnum_ELBO(max_plate_nesting=1))
    post = bn.fit(pair, (X, X), steps=2, progress=False)
    with pytest.raises(ValueError, match=r"\['k'\] are summed out.*MixtureSameFamily"):
        post.evaluate((X, X))


def test_summed_sites_without_such_an_elbo_are_named() -> None:
    with pytest.raises(ValueError, match=r"\['k'\] are enumerated.*TraceEnum_ELBO"):
        bn.fit(bn.models.PyroPair(mixture, guide), (X, X), steps=2, progress=False)


@pytest.mark.slow_except("7")
@pytest.mark.parametrize("batch_size", [7, N])
def test_sites_enumerated_in_the_guide(batch_size: int) -> None:
    """Of one switch the log odds are Σ (y − ½) / λ."""

    def model(x: Tensor, y: Tensor | None = None) -> None:
        on = pyro.sample("on", dist.Bernoulli(0.5))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(on + 0.0 * x, 1.0), obs=y)

    @config_enumerate
    def guide(x: Tensor, y: Tensor | None = None) -> None:
        pyro.sample("on", dist.Bernoulli(logits=pyro.param("logit", torch.tensor(0.0))))

    y = 0.55 + 0.05 * X
    pair = bn.models.PyroPair(model, guide, elbo=TraceEnum_ELBO(max_plate_nesting=1))
    post = bn.fit(pair, (X, y), kl_weight=2.0, batch_size=batch_size, **CONVERGED)
    odds = float((y - 0.5).sum()) / 2.0
    assert float(post.model.own["logit"].detach()) == pytest.approx(odds, abs=0.1)
    q = torch.distributions.Bernoulli(logits=post.model.own["logit"].detach())
    kl = torch.distributions.kl_divergence(q, torch.distributions.Bernoulli(0.5))
    assert post.evaluate((X, y), draws=50)["kl"] == pytest.approx(float(kl), abs=1e-5)


# Factors of a guide ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_factor_of_the_guide_is_part_of_its_density() -> None:
    """A log-normal written as a draw and a Jacobian: KL to a log-normal is that of Gaussians."""

    def model(x: Tensor, y: Tensor | None = None) -> None:
        s = pyro.sample("s", dist.LogNormal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(s * x, 1.0), obs=y)

    def guide(x: Tensor, y: Tensor | None = None) -> None:
        loc = pyro.param("loc", torch.tensor(0.4))
        u = pyro.sample("u", dist.Normal(loc, 0.5), infer={"is_auxiliary": True})
        pyro.factor("jacobian", -u, has_rsample=True)
        pyro.sample("s", dist.Delta(u.exp()))

    post = bn.fit(
        bn.models.PyroPair(model, guide), (X, X), steps=1, lr=1e-9, batch_size=7, progress=False
    )
    kl = 0.5 * (0.25 + 0.16 - 1) - math.log(0.5)
    metrics = post.evaluate((X, X), draws=2000)
    assert metrics["kl"] == pytest.approx(kl, abs=0.1)
    tree = post.to_arviz(draws=5)
    assert list(tree["posterior"].data_vars) == ["s"]
    s = torch.tensor(tree["posterior"]["s"].values)
    by_hand = dist.LogNormal(0.4, 0.5).log_prob(s)
    assert torch.allclose(
        torch.tensor(tree["sample_stats"]["log_q"].values).float(), by_hand, atol=1e-4
    )


# Names ------------------------------------------------------------


def test_the_target_is_named_where_several_sites_are_observed() -> None:
    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("first", dist.Normal(w * x, NOISE), obs=None if y is None else y[:, 0])
            pyro.sample("second", dist.Normal(-w * x, NOISE), obs=None if y is None else y[:, 1])

    y = torch.stack([CLEAN, -CLEAN], 1)
    options: dict[str, Any] = {"steps": 2, "lr": 1e-9, "progress": False}
    post = bn.fit(bn.models.PyroPair(model, guide), (X, y), **options)
    with pytest.raises(ValueError, match=r"target="):
        post.evaluate((X, y))
    with pytest.raises(ValueError, match=r"target must be one of .*'first', 'second'.*'third'"):
        bn.fit(bn.models.PyroPair(model, guide, target="third"), (X, y), **options)
    post = bn.fit(bn.models.PyroPair(model, guide, target="second"), (X, y), **options)
    w = post.sample(draws=30)["w"]
    by_hand = 2 * dist.Normal(w[:, None] * X, NOISE).log_prob(CLEAN).sum(-1).mean()
    metrics = post.evaluate((X, y), draws=30)
    assert metrics["expected_log_lik"] == pytest.approx(float(by_hand), rel=1e-4)
    assert torch.allclose(post.predict(X, draws=30), -w[:, None] * X)


def test_a_module_with_sampled_weights_is_recorded(caplog: pytest.LogCaptureFixture) -> None:
    class Net(PyroModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = PyroModule[nn.Linear](1, 1)
            self.layer.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 1]).to_event(2))
            self.layer.bias = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor, y: Tensor | None = None) -> None:
            mean = self.layer(x[:, None])[:, 0]
            with pyro.plate("data", len(x)):
                pyro.sample("y", dist.Normal(mean, NOISE), obs=y)

    def guide(x: Tensor, y: Tensor | None = None) -> None:
        loc = pyro.param("loc", torch.zeros(1, 1))
        pyro.sample("layer.weight", dist.Normal(loc, 0.1).to_event(2))

    post = bn.fit(
        bn.models.PyroPair(Net(), guide), (X, CLEAN), steps=600, lr=0.03, compile="trace",
        progress=False,
    )  # fmt: skip
    assert not [record for record in caplog.records if "eager" in record.getMessage()]
    assert float(post.model.own["loc"].detach()) == pytest.approx(1.5, abs=0.3)
