"""Calibration by simulated data, where the posterior is known and guides miss it by known amounts.

With the exact posterior N(m, s²) and a guide N(m + b s, (c s)²) a p-value is Φ((z − b)/c) of a
normal z: its mean is Φ(−b / √(1 + c²)), and for b = 0 its variance arctan √(1 + 2/c²) / π − 1/4.
"""

from __future__ import annotations

import math

import arviz as az
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy.linalg import hadamard
from scipy.stats import norm

import bayesnas as bn
from bayesnas.inference import SimulatedCalibration

ROWS, NOISE, SIMULATIONS = 8, 0.5, 60
X = torch.from_numpy(hadamard(ROWS)[:, 1:4]).float()  # orthogonal columns: independent weights
SHIFTS, WIDTHS = [0.0, 1.5, 0.0], [1.0, 1.0, 0.25]
QUICK = {"steps": 1, "lr": 1e-12, "draws": 40, "progress": False}


class Known(bn.models.BayesianModel):
    """Regression whose guide is exact for one weight, shifted for one, narrow for one."""

    def __init__(self):
        super().__init__()
        self.loc = torch.nn.Parameter(torch.zeros(3))
        self.scale = (1 + ROWS / NOISE**2) ** -0.5
        self.rows_to_prepare = ROWS

    def prepare(self, x, y):
        if len(x) == ROWS:
            mean = x.T @ y / NOISE**2 * self.scale**2
            with torch.no_grad():
                self.loc.copy_(mean + torch.tensor(SHIFTS) * self.scale)

    def model(self, x, y=None):
        w = pyro.sample("w", dist.Normal(torch.zeros(3), 1.0).to_event(1))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(x @ w, NOISE), obs=y)

    def guide(self, x, y=None):
        pyro.sample("w", dist.Normal(self.loc, torch.tensor(WIDTHS) * self.scale).to_event(1))

    def site_dims(self):
        return {"w": ("feature",)}

    def describe(self):
        return "regression"


def calibrated(**options):
    y = X @ torch.ones(3)
    return bn.vsbc(Known(), (X, y), **{"simulations": SIMULATIONS, **QUICK, **options})


def moments(shift, width):
    """Mean and standard deviation of a p-value, by quadrature over z."""
    z = np.linspace(-9, 9, 20001)
    p, weight = norm.cdf((z - shift) / width), norm.pdf(z)
    mean = np.trapezoid(p * weight, z)
    return mean, np.sqrt(np.trapezoid((p - mean) ** 2 * weight, z))


def test_p_values_are_those_of_the_known_posterior():
    calibration = calibrated()
    p, table = calibration.p_values["w"].values, calibration.table()
    for index, (shift, width) in enumerate(zip(SHIFTS, WIDTHS, strict=True)):
        mean, deviation = moments(shift, width)
        error = deviation / math.sqrt(SIMULATIONS)
        assert abs(p[:, index].mean() - mean) < (8 if shift else 5.5) * error  # it is skewed
        assert mean == pytest.approx(norm.cdf(-shift / math.sqrt(1 + width**2)))
        # The spread of 60 has a standard error of 0.09, and of 0.04 where it is largest.
        spread = table.loc[f"w[{index}]", "spread"]
        assert spread == pytest.approx(deviation * 12**0.5, abs=0.5 if shift else 0.45)
    assert (table.loc[["w[0]", "w[2]"], "symmetry"] > 1e-7).all()
    assert table.loc["w[0]", "uniformity"] > 1e-7
    # Seventeen of 60 on the other side of 1/2, where 7 % are, have a probability of 2e-7.
    assert table.index[0] == "w[1]"
    assert table.loc["w[1]", "symmetry"] < 1e-3
    assert table.loc["w[2]", "spread"] > 1.2
    assert "60 simulations: " in repr(calibration)


@pytest.fixture(scope="module")
def ten():
    return calibrated(rows=torch.eye(3), simulations=10)


def test_predictions_are_followed_where_asked(ten):
    """Of unit rows the predictions are the weights themselves."""
    np.testing.assert_allclose(ten.p_values["prediction"], ten.p_values["w"], atol=1.1 / 41)
    assert ten.p_values["prediction"].dims == ("simulation", "row")


def test_more_simulations_go_on_where_fewer_ended(ten):
    more = calibrated(rows=torch.eye(3), var_names=[], simulations=11)
    assert list(more.p_values) == ["prediction"]
    before = more.p_values["prediction"].isel(simulation=slice(10))
    ranks = [np.floor(each.values * 41) for each in (before, ten.p_values["prediction"])]
    np.testing.assert_array_equal(*ranks)


def test_it_is_handed_on_to_arviz_and_to_files(ten, tmp_path):
    tree = ten.to_arviz()
    assert tree["prior_sbc"]["w"].sizes == {"chain": 1, "draw": 10, "feature": 3}
    assert ((tree["prior_sbc"]["w"] > 0) & (tree["prior_sbc"]["w"] < 1)).all()
    ten.p_values.to_netcdf(tmp_path / "p.nc")
    if int(az.__version__.split(".")[0]) > 0:
        az.plot_ecdf_pit(tree, group="prior_sbc", backend="none")
    with pytest.raises(ValueError, match=r"var_names must be out of \['w', 'prediction'\]"):
        ten.table(["v"])


def small_net(likelihood, outputs):
    return bn.models.GaussianNet(bn.nn.mlp([3, 2, outputs]), likelihood=likelihood)


def counts():
    def model(x, y=None):
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Poisson((x[:, 0] * w).exp()), obs=y)

    return bn.models.PyroPair(model, pyro.infer.autoguide.AutoNormal(model))


@pytest.mark.parametrize(
    ("model", "y", "names"),
    [
        (lambda: small_net("categorical", 3), torch.arange(ROWS) % 3, {"layer1.weight"}),
        (lambda: small_net("bernoulli", 1), torch.arange(ROWS) % 2, {"layer1.weight"}),
        (lambda: bn.models.ArdRegression(3), X.sum(1), set()),
        (lambda: bn.models.SpikeAndSlabRegression(3), X.sum(1), set()),
        (counts, torch.arange(ROWS).float(), {"w"}),
    ],
    ids=["classes", "binary", "ard", "spike-and-slab", "pair"],
)
def test_it_takes_models_of_every_kind(model, y, names):
    options = QUICK | {"draws": 5, "rows": X[:2], "simulations": 10}
    calibration = bn.vsbc(model(), (X, y), **options)
    assert isinstance(calibration, SimulatedCalibration)
    assert names | {"prediction"} <= set(calibration.p_values)
    table = calibration.table()
    assert table.notna().all(axis=None)
    assert len(calibration.table(["prediction"])) == calibration.p_values["prediction"][0].size


def test_of_an_autoencoder_inputs_are_simulated_too():
    x = torch.rand(12, 4)
    vae = bn.models.ArdVae(4, latents=2, hidden=(3,), likelihood="gaussian")
    calibration = bn.vsbc(vae, (x, x), simulations=10, **QUICK)
    assert "decoder.weight" in calibration.p_values
    with pytest.raises(ValueError, match="rows must be left out"):
        bn.vsbc(vae, (x, x), simulations=10, rows=x, **QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"simulations": 9}, "simulations must be"),
        ({"draws": 0}, "draws must be"),
        ({"var_names": ["v"]}, r"var_names must be out of \['w'\], got \['v'\]"),
        ({"kl_weight": [0.1, 1.0]}, "kl_weight must be one number"),
        ({"rows": torch.zeros(3, 5)}, "rows: x must have the shape|rows"),
        ({"stepz": 3}, "stepz"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        calibrated(**options)
