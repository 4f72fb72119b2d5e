"""What rows of a user's Pyro program share, how they lie, and which situations are refused.

One weight w ~ N(0, 1); every density is written out by hand at the draws of the posterior.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import RenyiELBO, Trace_ELBO, TraceEnum_ELBO, TraceMeanField_ELBO, config_enumerate
from pyro.infer.autoguide import AutoNormal
from torch import Tensor
from torch.distributions import constraints, kl_divergence

import bayesnas as bn

N, NOISE = 12, 0.5
GENERATOR = torch.Generator().manual_seed(5)
X = torch.randn(N, generator=GENERATOR)
Y = 1.5 * X + NOISE * torch.randn(N, generator=GENERATOR)
WIDE = torch.randn(N, 3, generator=GENERATOR)
SEEN = torch.rand(N, 3, generator=GENERATOR) > 0.4
LABELS = torch.randint(0, 3, (N, 4), generator=GENERATOR)
COUNTS = torch.arange(N) % 4
BRIEF: dict[str, Any] = {"steps": 2, "lr": 1e-3, "progress": False}
ENUMERATING: dict[str, Any] = {"elbo": TraceEnum_ELBO(max_plate_nesting=1)}


def guide(x: Tensor, y: Tensor | None = None) -> None:
    loc = pyro.param("loc", torch.tensor(0.5))
    scale = pyro.param("scale", torch.tensor(0.3), constraint=constraints.positive)
    pyro.sample("w", dist.Normal(loc, scale))


def line(x: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(w * x, NOISE), obs=y)


def in_plates(
    likelihood: Callable[[Tensor, Tensor], Any], *plates: tuple[str, int, int]
) -> Callable[..., None]:
    """One observed site in plates of (name, size or 0 for the rows, dim), the outermost first."""

    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with contextlib.ExitStack() as stack:
            for name, size, dim in plates or [("data", 0, -1)]:
                stack.enter_context(pyro.plate(name, size or len(x), dim=dim))
            pyro.sample("y", likelihood(w, x), obs=y)

    return model


def brief(model: Any, data: Any, batch_size: int = 5, guide: Any = guide, **options: Any) -> Any:
    pair = bn.models.PyroPair(model, guide, **options)
    return bn.fit(pair, data, batch_size=batch_size, **BRIEF)


def check_by_hand(
    post: Any,
    data: Any,
    rows: Callable[[Tensor], Tensor],
    seen: Tensor | None = None,
    prior_scale: float | Tensor = 1.0,
) -> None:
    """Log-likelihood, nll, KL, pointwise export, lp and k̂ against ``rows``, [n] at a draw."""
    w = post.sample(draws=10)["w"]
    terms = torch.stack([rows(each) for each in w])
    metrics = post.evaluate(data, draws=10)
    assert metrics["expected_log_lik"] == pytest.approx(float(terms.sum(1).mean()), rel=1e-4)
    counted = terms if seen is None else terms[:, seen]
    nll = math.log(10) - torch.logsumexp(counted, 0).mean()
    assert metrics["nll"] == pytest.approx(float(nll), rel=1e-3)
    prior = dist.Normal(0.0, prior_scale)
    q = dist.Normal(post.model.own["loc"].detach(), post.model.own["scale"].detach().exp())
    assert metrics["kl"] == pytest.approx(float(kl_divergence(q, prior)), rel=1e-4)
    tree = post.to_arviz(draws=3, data=data)
    drawn = torch.tensor(tree["posterior"]["w"].values[0])
    by_row = torch.stack([rows(each) for each in drawn])
    exported = torch.tensor(tree["log_likelihood"][post.model.target_site].values[0])
    assert torch.allclose(exported.float(), by_row, rtol=1e-4, atol=1e-3)
    lp = torch.tensor(tree["sample_stats"]["lp"].values[0]).float()
    assert torch.allclose(lp, by_row.sum(1) + prior.log_prob(drawn), rtol=1e-4, atol=1e-2)
    assert math.isfinite(post.pareto_k(data, draws=30))


# Where rows lie ------------------------------------------------------------------------------


@pytest.mark.parametrize("data_is_outside", [True, False])
def test_a_plate_of_features_as_long_as_the_rows(data_is_outside: bool) -> None:
    """Twelve features of twelve rows: which plate is that of the rows is told by its name."""
    y = torch.randn(N, N, generator=torch.Generator().manual_seed(0)) * torch.arange(1, N + 1)
    plates = [("rows", 0, -2), ("features", N, -1)]
    model = in_plates(
        lambda w, x: dist.Normal(w * x[:, None] + torch.zeros(N), NOISE),
        *(plates if data_is_outside else plates[::-1]),
    )
    post = brief(model, (X, y.T.contiguous()))
    check_by_hand(
        post, (X, y.T.contiguous()),
        lambda w: dist.Normal(w * X[:, None], NOISE).log_prob(y.T).sum(1),
    )  # fmt: skip


def test_rows_along_another_dim_than_the_first() -> None:
    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with pyro.plate("features", 3, dim=-2), pyro.plate("data", len(x), dim=-1):
            mean = w * x + torch.zeros(3, 1)
            pyro.sample("y", dist.Normal(mean, NOISE), obs=None if y is None else y.T)

    post = brief(model, (X, WIDE))
    check_by_hand(
        post, (X, WIDE), lambda w: dist.Normal(w * X[:, None], NOISE).log_prob(WIDE).sum(1)
    )
    assert post.predict(X, draws=2).shape == (2, N, 3)


def test_entries_that_a_mask_hides_count_in_no_metric() -> None:
    z = torch.cat([X[:, None], SEEN.float()], 1)
    y = torch.where(SEEN, WIDE, torch.tensor(99.0))

    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        entries, rows = pyro.plate("t", 3, dim=-1), pyro.plate("data", len(x), dim=-2)
        with entries, rows, poutine.mask(mask=x[:, 1:] > 0):
            pyro.sample("y", dist.Normal(w * x[:, :1], NOISE), obs=y)

    post = brief(model, (z, y))
    check_by_hand(
        post, (z, y),
        lambda w: (dist.Normal(w * X[:, None], NOISE).log_prob(y) * SEEN).sum(1), SEEN.any(1),
    )  # fmt: skip
    mean = post.sample(draws=10)["w"].mean() * X[:, None]
    rmse = (mean - y)[SEEN].square().mean().sqrt()
    assert post.evaluate((z, y), draws=10)["rmse"] == pytest.approx(float(rmse), rel=1e-4)


# What targets are -----------------------------------------------------------------------------


def logits(w: Tensor, x: Tensor) -> Tensor:
    return torch.stack([w * x, 0 * x, -w * x], -1)


@pytest.mark.parametrize("in_plate", [True, False])
def test_sequences_of_labels(in_plate: bool) -> None:
    def likelihood(w: Tensor, x: Tensor) -> Any:
        fn = dist.Categorical(logits=logits(w, x)[:, None].expand(len(x), 4, 3))
        return fn if in_plate else fn.to_event(1)

    plates = [("data", 0, -2), ("t", 4, -1)] if in_plate else []
    post = brief(in_plates(likelihood, *plates), (X, LABELS))
    check_by_hand(
        post, (X, LABELS),
        lambda w: logits(w, X).log_softmax(-1).gather(1, LABELS).sum(1),
    )  # fmt: skip
    predicted = post.predict(X, draws=32)
    assert predicted.shape == (32, N, 4, 3)
    accuracy = (predicted.mean(0).argmax(-1) == LABELS).float().mean()
    assert post.evaluate((X, LABELS))["accuracy"] == pytest.approx(float(accuracy))


COUNTED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "gamma-Poisson": lambda w, x: dist.GammaPoisson(2.0, torch.exp(w * x)),
    "zero-inflated": lambda w, x: dist.ZeroInflatedPoisson(
        torch.exp(w * x), gate=torch.tensor(0.3)
    ),
    "beta-binomial": lambda w, x: dist.BetaBinomial(torch.exp(w * x), 2.0, 6),
}


@pytest.mark.parametrize("name", COUNTED)
def test_counts_are_no_labels(name: str) -> None:
    post = brief(in_plates(COUNTED[name]), (X, COUNTS))
    check_by_hand(post, (X, COUNTS), lambda w: COUNTED[name](w, X).log_prob(COUNTS))
    metrics = post.evaluate((X, COUNTS), draws=10)
    means = torch.stack([COUNTED[name](w, X).mean for w in post.sample(draws=10)["w"]]).mean(0)
    assert "accuracy" not in metrics
    rmse = (means - COUNTS).square().mean().sqrt()
    assert metrics["rmse"] == pytest.approx(float(rmse), rel=1e-4)


def test_means_of_a_multinomial_are_counts() -> None:
    def likelihood(w: Tensor, x: Tensor) -> Any:
        return dist.Multinomial(10, logits=logits(w, x))

    y = likelihood(torch.tensor(1.0), X).sample()
    post = brief(in_plates(likelihood), (X, y))
    check_by_hand(post, (X, y), lambda w: likelihood(w, X).log_prob(y))
    by_hand = [10 * logits(w, X).softmax(-1) for w in post.sample(draws=3)["w"]]
    assert torch.allclose(post.predict(X, draws=3), torch.stack(by_hand), atol=1e-4)


def test_new_targets_of_a_normal_are_not_rounded_to_those_it_was_given() -> None:
    y = (3 * Y).round().long()
    post = brief(in_plates(lambda w, x: dist.Normal(3 * w * x, 1.0)), (X, y))
    drawn = torch.tensor(post.to_arviz(draws=3, data=(X, y))["posterior_predictive"]["y"].values)
    assert not torch.equal(drawn, drawn.round())


def test_targets_without_a_mean_are_named() -> None:
    exp = torch.distributions.ExpTransform()
    model = in_plates(lambda w, x: dist.TransformedDistribution(dist.Normal(w * x, 1.0), [exp]))
    post = brief(model, (X, Y.exp()))
    with pytest.raises(TypeError, match="TransformedDistribution has no mean"):
        post.predict(X)


@pytest.mark.parametrize("target", ["value", "label"])
def test_two_kinds_of_targets_are_exported_by_the_one_that_is_named(target: str) -> None:
    y = torch.stack([Y, (X > 0).float()], 1)

    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        value, label = (None, None) if y is None else (y[:, 0], y[:, 1])
        with pyro.plate("data", len(x)):
            pyro.sample("value", dist.Normal(w * x, NOISE), obs=value)
            pyro.sample("label", dist.Bernoulli(logits=w * x), obs=label)

    def rows(w: Tensor) -> Tensor:
        label = dist.Bernoulli(logits=w * X).log_prob(y[:, 1])
        return dist.Normal(w * X, NOISE).log_prob(Y) + label

    post = brief(model, (X, y), target=target)
    check_by_hand(post, (X, y), rows)
    observed = post.to_arviz(draws=2, data=(X, y))["observed_data"][target].values
    assert torch.equal(torch.tensor(observed), y[:, int(target == "label")])


# What is summed out -----------------------------------------------------------------------------


@pytest.mark.parametrize("handler", ["mask", "scale"])
def test_handlers_around_what_is_summed_out(handler: str) -> None:
    """A mask hides an observation and not p(k); a scale multiplies the log of the sum."""
    seen = torch.arange(N) % 2 == 0

    @config_enumerate
    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        around = poutine.scale(scale=0.25) if handler == "scale" else poutine.mask(mask=x[:, 1] > 0)
        with pyro.plate("data", len(x)), around:
            k = pyro.sample("k", dist.Bernoulli(0.4))
            pyro.sample("y", dist.Normal(w * x[:, 0] + k, NOISE), obs=y)

    def rows(w: Tensor) -> Tensor:
        off = dist.Normal(w * X, NOISE).log_prob(Y) + math.log(0.6)
        on = dist.Normal(w * X + 1, NOISE).log_prob(Y) + math.log(0.4)
        actual = torch.logaddexp(off, on)
        return 0.25 * actual if handler == "scale" else actual * seen

    data = torch.stack([X, seen.float()], 1), Y
    post = brief(model, data, **ENUMERATING)
    check_by_hand(post, data, rows, seen if handler == "mask" else None)


def test_a_hidden_markov_chain_in_every_row() -> None:
    """Against the forward algorithm; the mean of the last step from the chain's own marginal."""
    moves = torch.tensor([[0.8, 0.2], [0.3, 0.7]])

    @config_enumerate
    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            z: Any = 0
            for t in pyro.markov(range(3)):
                z = pyro.sample(f"z{t}", dist.Categorical(moves[z]))
                seen = None if y is None else y[:, t]
                pyro.sample(f"y{t}", dist.Normal(w * (2.0 * z - 1), NOISE), obs=seen)

    def rows(w: Tensor) -> Tensor:
        log_alpha = moves[0].log().expand(N, 2)
        for t in range(3):
            if t:
                log_alpha = (log_alpha[:, :, None] + moves.log()).logsumexp(1)
            means = w * torch.tensor([-1.0, 1.0])
            log_alpha = log_alpha + dist.Normal(means, NOISE).log_prob(WIDE[:, t, None])
        return log_alpha.logsumexp(1)

    post = brief(model, (WIDE, WIDE), target="y2", **ENUMERATING)
    check_by_hand(post, (WIDE, WIDE), rows)
    last = torch.linalg.matrix_power(moves, 3)[0]
    by_hand = post.sample(draws=3)["w"][:, None] * (last[1] - last[0])
    assert torch.allclose(post.predict(WIDE, draws=3), by_hand.expand(3, N), atol=1e-5)


# What rows share ----------------------------------------------------------------------------------


def test_a_prior_that_is_scaled_by_the_data() -> None:
    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 2.5 / x.std()))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(w * x, NOISE), obs=y)

    post = brief(model, (X, Y), batch_size=N)
    check_by_hand(
        post, (X, Y), lambda w: dist.Normal(w * X, NOISE).log_prob(Y), None, 2.5 / X.std()
    )
    with pytest.raises(ValueError, match=r"\['w'\], which all examples share.*batch_size=12"):
        brief(model, (X, Y))


def test_a_guide_that_looks_at_all_rows() -> None:
    """Its draws are those given the training data, whatever rows are predicted or measured."""

    def looking(x: Tensor, y: Tensor | None = None) -> None:
        pyro.sample("w", dist.Normal(2 * (1 + x.mean()), pyro.param("s", torch.tensor(1e-3))))

    post = brief(line, (X, Y), batch_size=N, guide=looking)
    w = 2 * (1 + X.mean())
    assert float(post.sample(draws=2)["w"].mean()) == pytest.approx(float(w), abs=0.03)
    others = X[:5] + 3
    assert torch.allclose(post.predict(others, draws=1)[0], w * others, atol=0.1)
    log_lik = dist.Normal(w * others, NOISE).log_prob(Y[:5]).sum()
    actual = post.evaluate((others, Y[:5]), draws=2)["expected_log_lik"]
    assert actual == pytest.approx(float(log_lik), rel=0.02)


def test_a_program_that_closes_over_its_rows() -> None:
    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with pyro.plate("data", N):
            pyro.sample("y", dist.Normal(w * X, NOISE), obs=y)

    post = brief(model, (X, Y), batch_size=N)
    check_by_hand(post, (X, Y), lambda w: dist.Normal(w * X, NOISE).log_prob(Y))
    with pytest.raises(ValueError, match="runs on 12 rows alone"):
        post.evaluate((X[:5], Y[:5]))


def with_factor(x: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    pyro.factor("log likelihood", dist.Normal(w * x, NOISE).log_prob(0 * x).sum())
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(w * x, NOISE), obs=y)


def one_event(x: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    pyro.sample("y", dist.MultivariateNormal(w * x, torch.eye(len(x))), obs=y)


def test_one_event_of_all_rows_is_fitted_and_has_no_rows_to_evaluate() -> None:
    post = brief(one_event, (X, Y), batch_size=N)
    assert post.sample(draws=2)["w"].shape == (2,)
    with pytest.raises(ValueError, match="all rows are one event of its MultivariateNormal"):
        post.evaluate((X, Y))


def site_of_every_row(x: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    for i in range(len(x)):
        pyro.sample(f"y{i}", dist.Normal(w * x[i], NOISE), obs=None if y is None else y[i])


def scaled_by_hand(x: Tensor, y: Tensor | None = None) -> None:
    with poutine.scale(scale=N / len(x)):
        w = pyro.sample("w", dist.Normal(0.0, len(x) / N))
    with pyro.plate("data", len(x)), poutine.scale(scale=N / len(x)):
        pyro.sample("y", dist.Normal(w * x, NOISE), obs=y)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (with_factor, r"\['log likelihood'\], which all examples share, depend on the rows"),
        (one_event, r"all rows are one event of \['y'\]"),
        (site_of_every_row, r"\['y11'\] are there or not as the number of rows is"),
        (scaled_by_hand, r"multiplies \['y'\] by a number over that of the rows"),
    ],
)
def test_what_is_no_sum_over_rows_takes_no_minibatches(model: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"{message}.*batch_size=12, got 5"):
        brief(model, (X, Y))


def test_latents_of_the_training_rows_are_not_those_of_as_many_others() -> None:
    def model(x: Tensor, y: Tensor | None = None) -> None:
        with pyro.plate("rows", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("y", dist.Normal(z, 1.0), obs=y)

    post = brief(model, (X, X), batch_size=N, guide=AutoNormal(model))
    with pytest.raises(ValueError, match="in their order, got others"):
        post.evaluate((X.flip(0), X.flip(0)))


def test_importance_weights_are_those_of_all_latents() -> None:
    """q is the posterior of shared and own latents together: all weights are the evidence."""
    precision = 1 + N / 2.0
    mean = float(Y.sum()) / 2 / precision

    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(w, 1.0))
            pyro.sample("y", dist.Normal(z, 1.0), obs=y)

    def exact(x: Tensor, y: Tensor | None = None) -> None:
        loc = pyro.param("loc", torch.tensor(mean))
        w = pyro.sample("w", dist.Normal(loc, precision**-0.5))
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal((x + w) / 2, math.sqrt(0.5)))

    pair = bn.models.PyroPair(model, exact)
    post = bn.fit(pair, (Y, Y), batch_size=5, steps=1, lr=1e-12, progress=False)
    assert post.pareto_k((Y, Y), draws=60) == 0.0


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda x: line(x), r"model_fn must take \(x, y\), both by position"),
        (lambda x, *, y=None: line(x, y), r"model_fn must take \(x, y\), both by position"),
        (lambda x, z, y=None: line(x, y), r"must observe the targets.*\['w', 'y'\]"),
    ],
)
def test_functions_that_would_not_see_the_targets_are_named(model: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        brief(model, (X, Y))


def test_elbos_that_give_no_such_bound_are_named() -> None:
    def positive(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.HalfNormal(1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(w * x, NOISE), obs=y)

    with pytest.raises(TypeError, match="differentiable_loss.*got a RenyiELBO"):
        bn.models.PyroPair(line, guide, elbo=RenyiELBO())
    with pytest.raises(ValueError, match=r"leaves out the Jacobians that AutoNormal.*\['w'\]"):
        brief(positive, (X, Y), guide=AutoNormal(positive), elbo=TraceMeanField_ELBO())
    brief(line, (X, Y), guide=AutoNormal(line), elbo=TraceMeanField_ELBO())  # no Jacobian


def test_sites_that_the_guide_leaves_out_are_named_whatever_the_elbo() -> None:
    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            k = pyro.sample("k", dist.Bernoulli(0.4), infer={"enumerate": "sequential"})
            pyro.sample("y", dist.Normal(w * x + k, NOISE), obs=y)

    for elbo in (TraceEnum_ELBO(max_plate_nesting=1), Trace_ELBO()):
        with pytest.raises(ValueError, match=r"\['k'\] only in the model"):
            brief(model, (X, Y), elbo=elbo)
