"""The sweep over thresholds and its knee."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

import bayesnas as bn
from bayesnas.models.compression.threshold_sweep import knee, sweep_groups


def made(scores: list[float]) -> bn.models.BayesianCompressionNet:
    """A linear map of len(scores) inputs, ln α of each input set by hand."""
    net = bn.nn.mlp([len(scores), 2], bias=False)
    model = bn.models.BayesianCompressionNet(net, initial_loc="net")
    model.variational.assign("layer1.z.log_scale", 0.5 * torch.tensor(scores))
    weight = torch.zeros(2, len(scores))
    weight[1] = 1.0
    model.variational.assign("layer1.weight.loc", weight)
    return model


def data() -> tuple[Tensor, Tensor]:
    """The label says whether the first input is positive; the other inputs are noise."""
    generator = torch.Generator().manual_seed(0)
    x = 0.02 * torch.randn(400, 4, generator=generator)
    x[:, 0] = torch.randn(400, generator=generator)
    return x, (x[:, 0] > 0).long()


def test_the_sweep_counts_groups_weights_and_errors() -> None:
    model = made([-6.0, -2.0, 0.0, 2.0])
    x, y = data()
    sweep = sweep_groups(model, x, y)
    assert sweep["groups"].sel(layer="layer1").values.tolist() == [4, 3, 2, 1]
    assert sweep["weights"].values.tolist() == [8, 6, 4, 2]
    assert bool((np.diff(sweep["threshold"]) < 0).all())
    kept_first = (x[:, 0] > 0).long()
    expected = float((kept_first != y).float().mean())
    assert float(sweep["loss"][-1]) == pytest.approx(expected)
    error = sweep["loss"] * (1 - sweep["loss"])
    assert np.allclose(sweep["loss_error"] ** 2 * 399, error, atol=1e-9)
    assert model.keep_groups.masks()["layer1"].all()  # the model given stays as it is
    assert knee(sweep) == float(sweep["threshold"][-1])


def test_given_thresholds_are_taken_and_an_emptied_layer_refused() -> None:
    model = made([-6.0, -2.0, 0.0, 2.0])
    x, y = data()
    assert sweep_groups(model, x, y, [-1.0, 1.0])["threshold"].values.tolist() == [1.0, -1.0]
    with pytest.raises(ValueError, match=r"layer 'layer1'; .* above -6"):
        sweep_groups(model, x, y, [-7.0])


def test_the_knee_is_the_smallest_net_on_the_flat() -> None:
    loss = np.array([0.0180, 0.0181, 0.0175, 0.0182, 0.0190, 0.3])
    sweep = xr.Dataset(
        {
            "loss": ("threshold", loss),
            "loss_error": ("threshold", np.full(6, 0.001)),
            "weights": ("threshold", [100, 80, 60, 40, 20, 1]),
        },
        {"threshold": [3.0, 2.0, 1.0, 0.0, -1.0, -2.0]},
    )
    assert knee(sweep) == 0.0


def test_the_knee_stops_where_the_log_loss_climbs_before_the_errors_do() -> None:
    columns = {
        "loss": [0.018, 0.018, 0.018, 0.018],
        "loss_error": [0.001] * 4,
        "nll": [0.051, 0.050, 0.057, 0.070],
        "nll_error": [0.004, 0.0, 0.008, 0.004],
        "weights": [100, 80, 60, 40],
    }
    sweep = xr.Dataset(
        {name: ("threshold", values) for name, values in columns.items()},
        {"threshold": [2.0, 1.0, 0.0, -1.0]},
    )
    assert knee(sweep.drop_vars("nll_error")) == -1.0
    assert knee(sweep) == 0.0


def test_the_error_of_the_log_loss_is_that_of_the_difference_from_the_lowest() -> None:
    model = made([-6.0, -2.0, 0.0, 2.0])
    x, y = data()
    sweep = sweep_groups(model, x, y)
    kept = torch.tensor([[True] * count + [False] * (4 - count) for count in (4, 3, 2, 1)])
    logits = (x[:, None, :] * kept).sum(-1).double()  # class 1 against class 0, [rows, nets]
    nll = torch.nn.functional.softplus(torch.where(y[:, None] > 0, -logits, logits)).numpy()
    assert np.allclose(sweep["nll"], nll.mean(0), rtol=1e-5)
    excess = nll - nll[:, [int(nll.mean(0).argmin())]]
    expected = np.sqrt(excess.var(0, ddof=1) / len(x))
    assert np.allclose(sweep["nll_error"], expected, rtol=1e-3, atol=1e-9)
    assert float(sweep["nll_error"].min()) == 0.0


def test_regression_is_measured_by_the_squared_error() -> None:
    net = bn.nn.mlp([4, 1], bias=False)
    model = bn.models.BayesianCompressionNet(
        net, likelihood="gaussian", noise_scale=0.5, initial_loc="net"
    )
    x, _ = data()
    with torch.no_grad():
        y = net(x).squeeze(1) + 0.1
    sweep = sweep_groups(model, x, y, [0.0])
    assert float(sweep["loss"][0]) == pytest.approx(0.01, rel=1e-4)
    exact = 0.5 * (0.1 / 0.5) ** 2 + np.log(0.5 * np.sqrt(2 * np.pi))
    assert float(sweep["nll"][0]) == pytest.approx(exact, rel=1e-4)
