"""Models beside each other: by evidence the true complexity, by likelihood the largest."""

from __future__ import annotations

import itertools

import arviz as az
import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

import bayesnas as bn

ROWS, NOISE = 40, 0.2


def linear(features):
    net = torch.nn.Linear(features, 1, bias=False)
    return bn.models.GaussianNet(net, prior_scale=1.0, likelihood="gaussian", noise_scale=NOISE)


def fitted(x, y, steps=2, **options):
    return bn.fit(linear(x.shape[1]), (x, y), steps=steps, progress=False, **options)


def largest_log_likelihood(x, y):
    """Of least squares, up to a constant that all models share."""
    x, y = x.double(), y.double()
    solution = torch.linalg.lstsq(x, y[:, None]).solution[:, 0]
    return -0.5 * (y - x @ solution).square().sum().item() / NOISE**2


def orthonormal(columns):
    """A basis whose least squares are inner products, its columns of mean square 1."""
    return torch.linalg.qr(columns)[0] * ROWS**0.5


def data_of(design, weights):
    """Targets with a residual of which every column sees the same: |b_jᵀ r| = σ √n · 0.5.

    So each superfluous column gains half the squared half of a standard error, ⅛ nat, in
    likelihood, and costs ½ ln(1 + n/σ²) = 3.5 nats of evidence less that.
    """
    share = 0.5 * NOISE / ROWS**0.5
    coefficients = torch.full_like(design[0], share)
    coefficients[: len(weights)] += torch.tensor(weights).to(design)
    return (design @ coefficients).float()


def polynomials():
    x = torch.linspace(-1, 1, ROWS, dtype=torch.float64)
    return orthonormal(torch.stack([x**k for k in range(8)], 1))


def splines():
    """Cubic splines in a nested order: the cubic polynomials, then a power at each knot."""
    x = torch.linspace(0, 1, ROWS, dtype=torch.float64)
    knots = torch.linspace(0, 1, 6, dtype=torch.float64)[1:-1]
    truncated = [(x - knot).clamp_min(0) ** 3 for knot in knots]
    return orthonormal(torch.stack([x**k for k in range(4)] + truncated, 1))


@pytest.mark.parametrize(
    ("design", "weights"),
    [(polynomials(), [0.3, -0.5, 0.4, 0.6]), (splines(), [0.3, 0.5, -0.4, 0.5, 0.4, 0.6])],
    ids=["polynomial", "spline"],
)
def test_the_evidence_picks_the_true_number_of_terms_and_the_likelihood_all(design, weights):
    y = data_of(design, weights)
    parts = {f"{count}": design[:, :count].float() for count in range(1, 9)}
    likelihoods = {name: largest_log_likelihood(x, y) for name, x in parts.items()}
    assert max(likelihoods, key=likelihoods.__getitem__) == "8"
    posts = {name: fitted(x, y) for name, x in parts.items()}
    table = bn.compare(posts, {name: (x, y) for name, x in parts.items()})
    assert table.index[0] == str(len(weights))
    assert table["weight"].iloc[0] > 0.9
    # By hand, in an orthonormal basis: every term that is let in without a cause costs the same.
    next_one = str(len(weights) + 1)
    gain = 0.25 * 0.5 * (ROWS / NOISE**2) / (1 + ROWS / NOISE**2)
    cost = 0.5 * np.log1p(ROWS / NOISE**2) - gain
    assert table.loc[next_one, "log_evidence_diff"] == pytest.approx(cost, abs=1e-3)


def test_splines_span_those_of_scipy():
    """The nested basis is of the cubic splines on these knots, whose B-splines are scipy's."""
    x = np.linspace(0, 1, ROWS)
    knots = np.r_[[0.0] * 4, np.linspace(0, 1, 6)[1:-1], [1.0] * 4]
    bspline = BSpline.design_matrix(x, knots, 3).toarray()
    span = np.linalg.lstsq(splines().numpy(), bspline, rcond=None)[0]
    assert np.allclose(splines().numpy() @ span, bspline, atol=1e-8)


def test_among_prior_variances_on_or_off_the_evidence_picks_the_true_features():
    """ARD regression at fixed hyperparameters, every subset of six features."""
    design = polynomials()[:, 1:7]
    y = data_of(design, [0.4, 0.0, 0.5]) - 0.0
    y = y - y.mean()
    model = bn.models.ArdRegression(6, noise_scale=NOISE, intercept=False)
    evidences, likelihood = {}, {}
    for on in itertools.product([False, True], repeat=6):
        scales = torch.where(torch.tensor(on), 1.0, 1e-12)
        with torch.no_grad():
            model.log_prior_scale.copy_(scales.log())
        evidences[on] = model.log_evidence(design.float(), y).item()
        some = design.float()[:, torch.tensor(on)]
        likelihood[on] = largest_log_likelihood(some, y) if any(on) else -np.inf
    assert max(evidences, key=evidences.__getitem__) == (True, False, True, False, False, False)
    assert max(likelihood, key=likelihood.__getitem__) == (True,) * 6


@pytest.mark.slow
def test_maximising_the_evidence_shuts_irrelevant_features_and_the_likelihood_none():
    design = polynomials()[:, 1:7]
    y = data_of(design, [0.4, 0.0, 0.5])
    options = {"steps": 600, "lr": 0.05, "batch_size": ROWS, "progress": False}
    data = (design.float(), y)
    ard = bn.fit(bn.models.ArdRegression(6, noise_scale=NOISE), data, **options)
    kept = ard.structure()["inclusion"].values > 0.5
    assert kept.tolist() == [True, False, True, False, False, False]
    least = torch.linalg.lstsq(design, y.double()[:, None]).solution[:, 0]
    assert least.abs().min() > 0.01  # least squares lets all in


def test_rows_columns_and_weights():
    x, y = polynomials()[:, :3].float(), data_of(polynomials(), [0.3, -0.5])
    posts = [fitted(x[:, :count], y) for count in (1, 2, 3)]
    data = [(x[:, :count], y) for count in (1, 2, 3)]
    table = bn.compare(posts, data)
    assert list(table.columns) == [
        "rank", "log_evidence", "log_evidence_diff", "weight", "se", "dse", "lower", "upper",
        "method", "warning",
    ]  # fmt: skip
    assert table["rank"].tolist() == [0, 1, 2]
    assert [name[0] for name in table.index] == ["1", "2", "0"]
    assert table["weight"].sum() == pytest.approx(1)
    exact = np.exp(table["log_evidence"] - table["log_evidence"].max())
    assert table["weight"].tolist() == pytest.approx((exact / exact.sum()).tolist())
    assert (table["method"] == "exact").all()
    assert not table["warning"].any()
    by_bound = bn.compare(posts, data, method="elbo", draws=40)
    assert (by_bound["method"] == "elbo").all()
    assert (by_bound["se"] > 0).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto:UserWarning")
def test_by_loo_it_is_what_arviz_makes_of_every_model():
    x, y = polynomials()[:, :3].float(), data_of(polynomials(), [0.3, -0.5])
    parts = {"one": (x[:, :1], y), "two": (x[:, :2], y)}
    posts = {n: fitted(*part, steps=400, lr=0.05) for n, part in parts.items()}
    table = bn.compare(posts, parts, by="loo", draws=200)
    assert list(table.index) == ["two", "one"]
    old = int(az.__version__.split(".")[0]) < 1
    for name, post in posts.items():
        export = post.to_inference_data if old else post.to_arviz
        loo = az.loo(export(200, parts[name]), reff=1.0)
        expected = loo.elpd_loo if old else loo.elpd
        column = "elpd_loo" if old else "elpd"
        assert table.loc[name, column] == pytest.approx(float(expected))


def test_by_loo_every_row_is_left_out_of_the_target_of_its_fit():
    """Beside the predictive density of every row given the tempered posterior of all others.

    At λ the log-likelihood of a draw has a standard deviation of about λ √(3 / 2), three being the
    number of weights: that over √draws is an error of 0.06 λ.
    """
    x, y = polynomials()[:, :3], data_of(polynomials(), [0.3, -0.5]).double()
    y += 0.15 * torch.linspace(0, 40, ROWS, dtype=torch.float64).sin()
    kl_weights = (0.1, 1.0, 10.0)
    posts = {}
    for kl_weight in kl_weights:
        post = fitted(x.float(), y.float(), kl_weight=kl_weight)
        mean, variance = tempered(x, y, kl_weight)
        with torch.no_grad():  # orthogonal columns: the exact posterior has independent weights
            guide = post.model.get_submodule("variational").weight
            guide.loc.copy_(mean[None])
            guide.log_scale.copy_(variance.diagonal().log()[None] / 2)
        posts[f"{kl_weight}"] = post
    table = bn.compare(posts, (x.float(), y.float()), by="loo", draws=400)
    column = "elpd_loo" if "elpd_loo" in table else "elpd"
    exact = {f"{each}": left_out(x, y, each) for each in kl_weights}
    for name, value in exact.items():
        assert table.loc[name, column] == pytest.approx(value, abs=0.3 + 0.35 * float(name))
    # The weights that az.loo takes, of one row in place of 1/λ, are further off than that.
    raw = posts["0.1"].to_arviz(400, (x.float(), y.float())).log_likelihood["y"].values[0]
    plain = (np.log(len(raw)) - np.logaddexp.reduce(-raw.astype(float), axis=0)).sum()
    assert plain - exact["0.1"] > 0.6


def tempered(x, y, kl_weight):
    """Mean and covariance of the weights, prior N(0, 1), noise λ NOISE²."""
    variance = (x.T @ x / (kl_weight * NOISE**2) + torch.eye(x.shape[1]).double()).inverse()
    return variance @ x.T @ y / (kl_weight * NOISE**2), variance


def left_out(x, y, kl_weight):
    """Σ_i ln p(y_i | the tempered posterior without row i)."""
    total = 0.0
    for i in range(len(y)):
        rest = torch.arange(len(y)) != i
        mean, variance = tempered(x[rest], y[rest], kl_weight)
        spread = (NOISE**2 + x[i] @ variance @ x[i]).sqrt()
        total += torch.distributions.Normal(x[i] @ mean, spread).log_prob(y[i]).item()
    return total


@pytest.mark.filterwarnings("ignore:k̂ is too large:UserWarning")
def test_fits_along_the_kl_weight_stand_beside_others():
    x, y = polynomials()[:, :3].float(), data_of(polynomials(), [0.3, -0.5])
    along = bn.fit(linear(3), (x, y), kl_weight=[1, 10, 100], steps=3, progress=False)
    posts = {"along": along, "one": fitted(x, y)}
    table = bn.compare(posts, (x, y), draws=40)
    assert table.loc["along", "method"] == "thermodynamic"
    assert table.loc["one", "method"] == "exact"


def test_bad_arguments_are_named():
    x, y = polynomials()[:, :3].float(), data_of(polynomials(), [0.3, -0.5])
    post, at_zero = fitted(x, y), fitted(x, y, kl_weight=0.0)
    pair = {"a": post, "b": post}
    for error, message, arguments, options in (
        (ValueError, "at least two models, got \\['a'\\]", ({"a": post}, (x, y)), {}),
        (TypeError, "posteriors must be a mapping or a sequence", (post, (x, y)), {}),
        (TypeError, "posteriors\\['b'\\] must be what", ({"a": post, "b": 3}, (x, y)), {}),
        (ValueError, "data must have the names", (pair, {"a": (x, y)}), {}),
        (ValueError, "one part for each of the 2", (pair, [(x, y)]), {}),
        (ValueError, "the targets of 'b'", (pair, {"a": (x, y), "b": (x, y.flip(0))}), {}),
        (ValueError, "by must be one of", (pair, (x, y)), {"by": "waic"}),
        (ValueError, "method must be one of", (pair, (x, y)), {"method": "guess"}),
        (
            ValueError,
            "posteriors\\['b'\\] must be fitted at kl_weight > 0 for by='loo', got 0",
            ({"a": post, "b": at_zero}, (x, y)),
            {"by": "loo", "draws": 50},
        ),
    ):
        with pytest.raises(error, match=message):
            bn.compare(*arguments, **options)
