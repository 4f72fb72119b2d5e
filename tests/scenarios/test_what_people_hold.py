"""What people hold: arrays, tables, lists, types, likelihoods; each against a value of its own."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import optimize, stats
from sklearn.linear_model import PoissonRegressor
from torch import Tensor, nn
from torch.nn import functional as F

import bayesnas as bn

QUICK: dict[str, Any] = {"steps": 3, "progress": False}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(generator.normal(size=(40, 3)), columns=["age", "weight", "dose"])


def small(**options: Any) -> bn.models.GaussianNet:
    return bn.models.GaussianNet(bn.nn.mlp([3, 4, 2]), **options)


# Arrays and tables ------------------------------------------------------------------------


def test_the_same_numbers_give_the_same_fit_however_they_are_held(table: pd.DataFrame) -> None:
    y = (table["age"] > 0).rename("ill")
    single = torch.tensor(table.to_numpy()).float(), torch.tensor(y.to_numpy()).long()
    expected = bn.fit(small(), single, **QUICK)
    nll = expected.evaluate(single)
    for x, labels in (
        (table, y),
        (table, y.to_frame()),
        (table.to_numpy(), y.to_numpy()),
        (table.to_numpy().astype(">f8"), y.to_numpy().astype(np.uint16)),
        (table.to_numpy().tolist(), y.tolist()),
        (table.astype("Float64"), y.astype("boolean")),
        (torch.tensor(table.to_numpy()), y.astype(float).to_numpy()),
        (list(single[0]), list(single[1])),
    ):
        post = bn.fit(small(), (x, labels), validation=(x, labels), **QUICK)
        assert post.run.fingerprint == expected.run.fingerprint
        assert post.evaluate((x, labels)) == nll
        assert torch.equal(post.predict(x, draws=4), expected.predict(single[0], draws=4))
        assert torch.equal(post.predict(x, draws=4), post.predict(single[0], draws=4))


def test_data_enter_every_method_alike(table: pd.DataFrame) -> None:
    y = (table["age"] > 0).to_numpy()
    pair, tensors = (table, y), (torch.tensor(table.to_numpy()).float(), torch.tensor(y))
    post = bn.fit(small(), pair, **QUICK)
    for name, options in {
        "evaluate": {},
        "complexity": {},
        "pareto_k": {"draws": 40},
        "pruning_curve": {"fractions": [0.5]},
        "to_arviz": {"draws": 3},
        "refine": QUICK,
    }.items():
        call = getattr(post, name)
        result, expected = (call(data=data, **options) for data in (pair, tensors))
        if name == "to_arviz":
            result, expected = (tree["log_likelihood"].to_dataset() for tree in (result, expected))
            assert result.equals(expected)
        elif name == "refine":
            assert result.history().equals(expected.history())
        else:
            assert str(result) == str(expected)
    posts = bn.fit(small(), pair, kl_weight=[0.1, 1.0], **QUICK)
    assert posts.frontier([0.1], pair).equals(posts.frontier([0.1], tensors))
    edges = {("x", "y"): [nn.Linear(3, 2), nn.Linear(3, 2)]}
    search = bn.models.LatentStructureNet(bn.nn.Graph(edges, example=torch.zeros(2, 3)))
    result = bn.fit(search, pair, **QUICK).retrain(pair, **QUICK)
    assert result.evaluate(pair) == result.evaluate(tensors)


BROKEN: dict[str, tuple[Any, str]] = {
    "text": (
        lambda t: t.assign(dose="much"),
        "x column 'dose' must hold real numbers, got (str|object)",
    ),
    "objects": (lambda t: t.astype(object), "x column 'age' must hold real numbers, got object"),
    "categories": (
        lambda t: t.assign(weight=pd.Categorical(["a", "b"] * 20)),
        "x column 'weight' must hold real numbers, got category.*get_dummies",
    ),
    "dates": (lambda t: t.assign(age=pd.Timestamp("2020")), "x column 'age'.*got datetime64"),
    "nan": (lambda t: t.assign(age=t["age"].where(t.index != 7)), "'age' must be.*row 7"),
    "missing": (
        lambda t: t.assign(age=pd.array([1] * 39 + [None], dtype="Int64")),
        r"x column 'age' must be finite, got a missing value in row 39 \(1 ",
    ),
    "infinite": (lambda t: t.assign(dose=np.inf), "x column 'dose' must be finite, got inf"),
    "fewer rows": (lambda t: t[:30], "x and y must have the same length, got 30 and 40"),
    "another order": (lambda t: t[::-1], r"same index.*y.loc\[x.index\]"),
    "array of objects": (lambda t: t.to_numpy().astype(object), "x must hold real numbers"),
    "strings": (lambda t: t.to_numpy().astype(str), "x must hold real numbers, got an array of"),
    "ragged": (lambda t: [[1.0, 2.0], *t.to_numpy().tolist()[1:]], "x must be a rectangular"),
    "none": (lambda t: [[None, 1, 2]] * 40, r"x must hold.*NoneType at \[0, 0\]"),
    "masked": (lambda t: np.ma.masked_greater(t.to_numpy(), 1.0), "x must have no masked values"),
    "complex": (lambda t: t.to_numpy() * 1j, "x must hold real numbers, got an array of complex"),
    "too large": (lambda t: t.to_numpy() * 1e300, r"x must be finite, got -?inf at.*torch.float32"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_number_is_refused_by_argument_and_column(
    table: pd.DataFrame, case: str
) -> None:
    change, message = BROKEN[case]
    y = pd.Series(np.arange(40) % 2, index=table.index)
    with pytest.raises((TypeError, ValueError), match=f"^data: .*{message}"):
        bn.fit(small(), (change(table), y), **QUICK)
    with pytest.raises((TypeError, ValueError), match=f"^validation: .*{message}"):
        bn.fit(small(), (table, y), validation=(change(table), y), **QUICK)


def test_columns_have_to_be_those_of_the_training_data(table: pd.DataFrame) -> None:
    y = table["age"] > 0
    post = bn.fit(small(), (table, y), **QUICK)
    turned = table[["weight", "age", "dose"]]
    with pytest.raises(ValueError, match="in their order, .*got .'weight', 'age', 'dose'"):
        post.predict(turned)
    with pytest.raises(ValueError, match="in their order"):
        post.evaluate((turned, y))
    with pytest.raises(ValueError, match="got .'age', 'kg', 'dose'"):
        post.predict(table.rename(columns={"weight": "kg"}))


def test_a_cast_is_said_once(table: pd.DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="bayesnas"):
        bn.fit(small(), (table.to_numpy(), np.arange(40) % 2), **QUICK)
    said = [message for message in caplog.messages if "cast" in message]
    assert said == [
        "data: x cast from torch.float64 to torch.float32, the type of the model's parameters"
    ]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int16, np.bool_])
def test_a_pair_gets_the_type_of_the_array(dtype: Any) -> None:
    seen = set()

    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        if y is not None:
            seen.add((x.dtype, y.dtype, x.shape[1:], y.shape[1:]))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(w * x.sum(-1), 1.0), obs=None if y is None else y[:, 0])

    def guide(x: Tensor, y: Tensor | None = None) -> None:
        pyro.sample("w", dist.Normal(pyro.param("loc", torch.tensor(0.1)), 0.1))

    x = np.ones((6, 2), dtype=dtype)
    post = bn.fit(bn.models.PyroPair(model, guide), (x, pd.DataFrame({"a": [1.0] * 6, "b": 2.0})),
                  **QUICK)  # fmt: skip
    kind = torch.from_numpy(x).dtype
    assert seen == {(kind, torch.float64, torch.Size([2]), torch.Size([2]))}
    assert post.predict(x, draws=2).shape == (2, 6)


# Several labels a row ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8, torch.float64])
def test_several_labels_a_row(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 4, generator=generator)
    y = x[:, :3] + 0.5 * torch.randn(50, 3, generator=generator) > 0
    model = bn.models.GaussianNet(bn.nn.mlp([4, 3]), likelihood="bernoulli")
    post = bn.fit(model, (x, y.to(dtype)), steps=60, lr=0.05, batch_size=20, progress=False)
    metrics = post.evaluate((x, y.to(dtype)), draws=0)
    logits = post.model.plain_module()(x).detach()
    losses = F.binary_cross_entropy_with_logits(logits, y.float(), reduction="none")
    assert metrics["expected_log_lik"] == pytest.approx(-losses.sum().item(), rel=1e-5)
    assert metrics["nll"] == pytest.approx(losses.sum(1).mean().item(), rel=1e-5)
    right = (logits > 0) == y
    assert metrics["accuracy"] == pytest.approx(right.float().mean().item(), rel=1e-6)
    assert metrics["accuracy"] > 0.7
    confidence = torch.maximum(logits.sigmoid(), 1 - logits.sigmoid()).flatten()
    bins = (confidence * 15).long()
    gaps = [
        (confidence[bins == b] - right.flatten()[bins == b].float()).sum().abs()
        for b in bins.unique()
    ]
    assert metrics["ece"] == pytest.approx(float(sum(gaps)) / 150, abs=1e-5)
    assert post.predict(x, draws=7).shape == (7, 50, 3)


def test_labels_of_several_a_row_are_zeros_and_ones() -> None:
    model = bn.models.GaussianNet(bn.nn.mlp([4, 3]), likelihood="bernoulli")
    y = torch.zeros(5, 3, dtype=torch.long)
    y[1, 2] = 2
    with pytest.raises(ValueError, match=r"must be 0 or 1 each, got 2 at \[1, 2\]"):
        bn.fit(model, (torch.zeros(5, 4), y), **QUICK)
    with pytest.raises(ValueError, match=r"whole class labels of shape \[n\]"):
        bn.fit(bn.models.GaussianNet(bn.nn.mlp([4, 3])), (torch.zeros(5, 4), y % 2), **QUICK)


# Likelihoods by name, against maximum likelihood by other means ----------------------------


def maximum_likelihood(likelihood: Any, outputs: int, x: Tensor, y: Any, **options: Any) -> Any:
    """A linear net of point estimates, fitted without a prior: what a GLM maximises."""
    model = bn.models.GaussianNet(nn.Linear(2, outputs), likelihood=likelihood, stochastic="none")
    settings = {"steps": 700, "lr": 0.05, "batch_size": len(x), "compile": "trace", **options}
    return bn.fit(model, (x, y), kl_weight=0.0, progress=False, **settings)


@pytest.fixture(scope="module")
def points() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(400, 2))
    return x, 0.5 + x @ np.array([0.8, -0.4])


def test_poisson_is_the_generalised_linear_model(points: Any) -> None:
    x, f = points
    y = np.random.default_rng(2).poisson(np.exp(f))
    expected = PoissonRegressor(alpha=0.0, tol=1e-10).fit(x, y)
    post = maximum_likelihood("poisson", 1, x, y)
    layer = post.model.plain_module()
    assert layer.weight.detach().numpy()[0] == pytest.approx(expected.coef_, abs=1e-3)
    assert layer.bias.item() == pytest.approx(expected.intercept_, abs=1e-3)
    means = expected.predict(x)
    metrics = post.evaluate((x, y), draws=0)
    assert metrics["nll"] == pytest.approx(-stats.poisson.logpmf(y, means).mean(), abs=1e-4)
    assert metrics["rmse"] == pytest.approx(np.sqrt(np.mean((means - y) ** 2)), rel=1e-3)
    assert post.predict(x, draws=1)[0].numpy() == pytest.approx(means, rel=1e-2)


def minimum(nll: Any, start: Any) -> Any:
    return optimize.minimize(nll, start, method="BFGS", options={"gtol": 1e-6})


def test_negative_binomial_learns_its_dispersion(points: Any) -> None:
    x, f = points
    generator = np.random.default_rng(3)
    y = generator.poisson(np.exp(f) * generator.gamma(2.0, 0.5, size=len(f)))

    def nll(w: np.ndarray) -> float:
        r, mean = np.exp(-w[3]), np.exp(w[0] + x @ w[1:3])
        return -stats.nbinom.logpmf(y, r, r / (r + mean)).mean()

    best = minimum(nll, np.zeros(4))
    post = maximum_likelihood("negative-binomial", 1, x, y)
    layer, likelihood = post.model.plain_module(), post.model.likelihood
    parameters = [layer.bias.item(), *layer.weight[0].tolist(), likelihood.log_dispersion.item()]
    assert parameters == pytest.approx(best.x, abs=5e-3)
    assert post.evaluate((x, y), draws=0)["nll"] == pytest.approx(best.fun, abs=1e-4)


def test_ordinal_is_the_proportional_odds_model(points: Any) -> None:
    x, f = points
    noise = np.random.default_rng(4).logistic(size=len(f))
    y = np.digitize(2 * f + noise, [-1.0, 0.5, 2.5])

    def probabilities(w: np.ndarray) -> np.ndarray:
        cuts = np.array([w[2], w[2] + np.exp(w[3]), w[2] + np.exp(w[3]) + np.exp(w[4])])
        below = 1 / (1 + np.exp(-(cuts - (x @ w[:2])[:, None])))
        edges = np.hstack([np.zeros((len(x), 1)), below, np.ones((len(x), 1))])
        return np.diff(edges, axis=1)

    def nll(w: np.ndarray) -> float:
        return -np.log(np.maximum(probabilities(w)[np.arange(len(y)), y], 1e-300)).mean()

    best = minimum(nll, np.array([0.0, 0.0, -1.0, 0.0, 0.0]))
    post = maximum_likelihood("ordinal", 1, x, y, steps=1500)
    layer, likelihood = post.model.plain_module(), post.model.likelihood
    assert layer.weight[0].tolist() == pytest.approx(best.x[:2], abs=5e-3)
    cuts = likelihood.cuts.detach() - layer.bias  # the bias moves all of them
    assert cuts[0].item() == pytest.approx(best.x[2], abs=5e-3)
    assert cuts.diff().log().tolist() == pytest.approx(best.x[3:], abs=5e-3)
    metrics = post.evaluate((x, y), draws=0)
    assert metrics["nll"] == pytest.approx(best.fun, abs=1e-4)
    assert post.predict(x, draws=1)[0].numpy() == pytest.approx(probabilities(best.x), abs=5e-3)
    expected = (probabilities(best.x).argmax(1) == y).mean()
    assert metrics["accuracy"] == pytest.approx(expected, abs=0.02)


def test_heteroscedastic_finds_where_the_noise_is(points: Any) -> None:
    x, f = points
    scale = np.exp(-0.5 + 0.6 * x[:, 0])
    y = f + scale * np.random.default_rng(5).normal(size=len(f))

    def nll(w: np.ndarray) -> float:
        return -stats.norm.logpdf(y, w[0] + x @ w[1:3], np.exp(w[3] + x @ w[4:])).mean()

    best = minimum(nll, np.zeros(6))
    post = maximum_likelihood("heteroscedastic", 2, x, y)
    layer = post.model.plain_module()
    assert layer.bias.tolist() == pytest.approx(best.x[[0, 3]], abs=5e-3)
    assert layer.weight.flatten().tolist() == pytest.approx(best.x[[1, 2, 4, 5]], abs=5e-3)
    assert post.evaluate((x, y), draws=0)["nll"] == pytest.approx(best.fun, abs=1e-4)
    assert post.predict(x, draws=2).shape == (2, 400)


@pytest.mark.slow_except("poisson-SpikeAndSlabNet", "heteroscedastic-BayesianCompressionNet")
@pytest.mark.parametrize("make", [bn.models.SpikeAndSlabNet, bn.models.BayesianCompressionNet])
@pytest.mark.parametrize("name", ["poisson", "negative-binomial", "ordinal", "heteroscedastic"])
def test_every_net_model_saves_and_loads_every_likelihood(
    make: Any, name: str, points: Any, tmp_path: Any
) -> None:
    x, f = points
    y = np.random.default_rng(2).poisson(np.exp(f)).clip(0, 4)
    net = bn.nn.mlp([2, 3, 2 if name == "heteroscedastic" else 1])
    post = bn.fit(make(net, likelihood=name), (x, y), compile="trace", **QUICK)
    post.save(tmp_path / "run")
    loaded = bn.load(tmp_path / "run")
    assert torch.equal(loaded.predict(x, draws=2), post.predict(x, draws=2))
    assert loaded.evaluate((x, y)) == post.evaluate((x, y))
    again = bn.load(tmp_path / "run", model=make(net, likelihood=name))
    assert torch.equal(again.predict(x, draws=2), post.predict(x, draws=2))


# A likelihood of one's own ----------------------------------------------------------------


class StudentT(nn.Module):
    task = "regression"

    def __init__(self, df: float) -> None:
        super().__init__()
        self.df, self.log_scale = df, nn.Parameter(torch.zeros(()))

    def forward(self, output: Tensor) -> Any:
        return dist.StudentT(self.df, output.squeeze(-1), self.log_scale.exp())

    def config(self) -> dict[str, Any]:
        return {"df": self.df}


def test_a_likelihood_of_ones_own_is_fitted_saved_and_given_again(
    points: Any, tmp_path: Any
) -> None:
    x, f = points
    y = f + 0.3 * np.random.default_rng(6).standard_t(3, size=len(f))

    def nll(w: np.ndarray) -> float:
        return -stats.t.logpdf(y, 3, w[0] + x @ w[1:3], np.exp(w[3])).mean()

    best, student_t = minimum(nll, np.zeros(4)), StudentT(3.0)
    post = maximum_likelihood(student_t, 1, x, y)
    layer, likelihood = post.model.plain_module(), post.model.likelihood
    parameters = [layer.bias.item(), *layer.weight[0].tolist(), likelihood.own.log_scale.item()]
    assert parameters == pytest.approx(best.x, abs=5e-3)
    assert student_t.log_scale.item() == 0.0  # it is copied, as a net is
    assert post.evaluate((x, y), draws=0)["nll"] == pytest.approx(best.fun, abs=1e-4)

    post.save(tmp_path / "run")
    with pytest.raises(ValueError, match=r"StudentT is one of your own.*likelihood=StudentT\("):
        bn.load(tmp_path / "run")
    with pytest.raises(ValueError, match=r"'df': 3.0.*got .*'df': 4.0"):
        bn.load(tmp_path / "run", likelihood=StudentT(4.0))
    loaded = bn.load(tmp_path / "run", likelihood=StudentT(3.0))
    assert torch.equal(loaded.predict(x, draws=2), post.predict(x, draws=2))
    assert loaded.evaluate((x, y)) == post.evaluate((x, y))
    bn.fit(small(), (np.zeros((4, 3)), [0, 1, 0, 1]), out=tmp_path / "other", **QUICK)
    with pytest.raises(ValueError, match="likelihood is for a run with a likelihood of one's own"):
        bn.load(tmp_path / "other", likelihood=student_t)


class Wide:
    task = "regression"

    def __call__(self, output: Tensor) -> Any:
        return dist.Normal(output, 1.0)  # one batch for each row and value


def test_a_distribution_of_another_shape_is_named(table: pd.DataFrame) -> None:
    data = (table, np.zeros((40, 2)))
    with pytest.raises(ValueError, match=r"Wide must give .*\[2\].*got batch_shape \[2, 2\]"):
        bn.fit(small(likelihood=Wide()), data, **QUICK)
    model = bn.models.GaussianNet(nn.Linear(3, 1), likelihood=StudentT(3.0))
    with pytest.raises(ValueError, match=r"y must have shape \['n'\] for likelihood StudentT"):
        bn.fit(model, data, **QUICK)
