"""What an amortised fit returns: posteriors along the KL weight, frontier, files, export."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.export.arviz_version import has_inference_data
from bayesnas.inference.posterior.base import _final_loss

RANGE = {"kl_weight": bn.LogUniform(0.1, 10), "steps": 40, "batch_size": 9, "lr": 0.05}


@pytest.fixture(scope="module")
def data() -> tuple[Tensor, Tensor]:
    x = torch.randn(27, 4, generator=torch.Generator().manual_seed(1))
    return x, x[:, :3].argmax(1)


@pytest.fixture(scope="module")
def post(data) -> bn.inference.AmortizedPosterior:
    net = bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale=0.5)
    return bn.fit(net, data, restarts=2, **RANGE)


def values(post: bn.Posterior) -> Tensor:
    return torch.cat([value.flatten() for value in post.model.parameters()])


def test_asking_at_a_kl_weight_changes_nothing(post, tmp_path) -> None:
    model, before = post.model, values(post).clone()
    post.save(tmp_path / "before")
    for kl_weight in (10.0, 0.1):
        post.at(kl_weight)
        assert post.model is model
        assert torch.equal(values(post), before)
    post.save(tmp_path / "after")
    first, second = (tmp_path / name / "posterior.safetensors" for name in ("before", "after"))
    assert first.read_bytes() == second.read_bytes()


def test_the_parameters_at_a_kl_weight_are_those_of_the_map(post) -> None:
    trained = post._chains[post.best].trained
    for kl_weight in (0.1, 2.0, 10.0):
        t = math.log(kl_weight / 0.1) / math.log(100)
        (group,) = trained.groups
        chain = post.at(kl_weight)._chains[post.best]
        parameters = dict(chain.model.named_parameters())
        flat = torch.cat([parameters[name].flatten() for name in group.names])
        torch.testing.assert_close(flat, group.net.at(t))


def test_posteriors_at_a_kl_weight_are_independent_of_each_other(post) -> None:
    low, high = post.at(0.1), post.at(10.0)
    assert not torch.equal(values(low), values(high))
    before = values(low).clone()
    post.at(3.0)
    low.prune(fraction=0.5)
    assert torch.equal(values(low), before)
    assert torch.equal(values(post.at(0.1)), before)
    assert low.kl_weight == 0.1
    assert low.settings.amortization is None


def test_between_two_knots_parameters_are_interpolated(post) -> None:
    """Five knots over two decades: a knot every half decade."""
    left, middle, right = (values(post.chain(0).at(10**e)) for e in (-0.5, -0.25, 0.0))
    assert torch.allclose(middle, (left + right) / 2, atol=1e-6)


def test_the_best_chain_is_the_one_with_the_best_bound_near_the_kl_weight(post) -> None:
    for kl_weight in (0.1, 1.0, 10.0):
        losses = []
        for chain in range(2):
            history = post.chain(chain).history().isel(chain=0)
            near = np.abs(np.log(history["kl_weight"] / kl_weight)) < 0.5
            losses.append(float(history["loss"][near][-100:].mean()))
        assert post.at(kl_weight).best == int(np.argmin(losses))


def test_a_history_far_from_the_kl_weight_counts_as_a_whole() -> None:
    history = torch.tensor([[1.0, 0, 0, 5.0], [3.0, 0, 0, 5.0]])
    assert _final_loss(history, 100.0) == 2.0
    assert _final_loss(history, None) == 2.0
    assert _final_loss(history * torch.tensor([math.nan, 1, 1, 1]), 5.0) == math.inf


@pytest.mark.parametrize("outside", [0.099, 10.1, 0.0])
def test_outside_the_fitted_range_is_refused(post, data, outside) -> None:
    for ask in (
        lambda: post.at(outside),
        lambda: post.frontier([1.0, outside], data),
        lambda: post.to_arviz([outside], draws=2),
    ):
        with pytest.raises(ValueError, match=r"must be in the fitted range \[0.1, 10\]"):
            ask()


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -1.0, "1", None])
def test_what_is_no_kl_weight_is_refused(post, wrong) -> None:
    with pytest.raises(ValueError, match="kl_weight must be a finite number >= 0"):
        post.at(wrong)


def test_what_needs_one_kl_weight_says_how_to_ask(post, data) -> None:
    for name in ("evaluate", "predict", "structure", "prune", "compact", "complexity"):
        with pytest.raises(AttributeError, match=rf"post.at\(kl_weight\).{name}"):
            getattr(post, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = post.nothing


def test_the_range_is_a_distribution(post) -> None:
    assert isinstance(post.kl_weight, bn.LogUniform)
    assert (float(post.kl_weight.low), float(post.kl_weight.high)) == pytest.approx((0.1, 10.0))
    assert "kl_weight=0.1…10" in repr(post)


# Frontier ---------------------------------------------------------------------------------


def test_the_frontier_is_what_the_posteriors_say(post, data) -> None:
    kl_weights = [0.1, 0.7, 10.0]
    frontier = post.frontier(kl_weights, data, draws=4, threshold=0.5)
    assert frontier["kl_weight"].values.tolist() == kl_weights
    assert frontier["kl_weight"].dtype == np.float64
    for kl_weight in kl_weights:
        at, row = post.at(kl_weight), frontier.sel(kl_weight=kl_weight)
        for name, value in at.evaluate(data, draws=4).items():
            assert float(row[name]) == value
        locs, scales = zip(*at.model.weight_posteriors().values(), strict=True)
        ratio = _flat(locs) / _flat(scales)
        assert float(row["parameters"]) == int((torch.exp(-ratio.square() / 2) < 0.5).sum())
        curve = at.pruning_curve(data, fractions=(0.0, 0.9), by=("density",))["accuracy"]
        assert float(row["stability"]) == pytest.approx(float(curve[0, 0] / curve[0, 1]))


def test_a_regression_has_no_accuracy_on_its_frontier(data) -> None:
    net = bn.models.GaussianNet(bn.nn.mlp([4, 1]), likelihood="gaussian")
    frontier = bn.fit(net, (data[0], data[0].sum(1)), **RANGE).frontier(
        [0.1, 10.0], (data[0], data[0].sum(1)), draws=2
    )
    assert {"rmse", "elbo", "kl", "parameters"} <= set(frontier)
    assert not {"accuracy", "stability"} & set(frontier)


@pytest.mark.parametrize("none", [[], ()])
def test_no_kl_weight_at_all_is_refused(post, data, none) -> None:
    with pytest.raises(ValueError, match="kl_weights must hold at least one"):
        post.frontier(none, data)
    with pytest.raises(ValueError, match="kl_weights must hold at least one"):
        post.to_arviz(none)


@pytest.mark.slow_except("diabetes")
@pytest.mark.parametrize("name", ["digits", "breast-cancer", "diabetes"])
def test_the_kl_falls_monotonically_along_the_kl_weight(name) -> None:
    """At convergence d𝓛/dλ = −KL, and 𝓛 is convex in λ."""
    x, y, likelihood = three_sets()[name]
    width = int(y.max()) + 1 if likelihood == "categorical" else 1
    net = bn.nn.mlp([x.shape[1], 10, width])
    model = bn.models.GaussianNet(net, prior_scale=0.5, likelihood=likelihood)
    post = bn.fit(
        model, (x, y), kl_weight=bn.LogUniform(0.1, 100), steps=600, batch_size=128, lr=0.05,
        compile="trace",
    )  # fmt: skip
    kl = post.frontier(np.geomspace(0.1, 100, 13).tolist(), (x, y), draws=1)["kl"].values
    assert np.all(np.diff(kl) < 0)


def three_sets() -> dict[str, tuple[Tensor, Tensor, str]]:
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

    sets = {}
    for name, read in (("digits", load_digits), ("breast-cancer", load_breast_cancer)):
        x, y = read(return_X_y=True)
        sets[name] = (_standardised(x), torch.as_tensor(y), "categorical")
    x, y = load_diabetes(return_X_y=True)
    sets["diabetes"] = (_standardised(x), _standardised(y[:, None])[:, 0], "gaussian")
    return sets


def _standardised(values: np.ndarray) -> Tensor:
    scaled = (values - values.mean(0)) / np.maximum(values.std(0), 1e-6)
    return torch.as_tensor(scaled, dtype=torch.float32)


def _flat(tensors: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


# Files, export, refinement ----------------------------------------------------------------


def test_save_and_load_round_trip(post, data, tmp_path) -> None:
    post.save(tmp_path / "run")
    loaded = bn.load(tmp_path / "run")
    assert isinstance(loaded, bn.inference.AmortizedPosterior)
    assert loaded.history().equals(post.history())
    for kl_weight in (0.1, 0.33, 10.0):
        assert torch.equal(values(loaded.at(kl_weight)), values(post.at(kl_weight)))
    loaded.at(2.0).save(tmp_path / "one")
    one = bn.load(tmp_path / "one")
    assert isinstance(one, bn.Posterior)
    assert one.kl_weight == 2.0
    assert torch.equal(values(one), values(post.at(2.0)))


def test_a_map_of_ones_own_is_asked_for_when_loading(data, tmp_path) -> None:
    def lines(initial: Tensor) -> nn.Module:
        return Lines(initial)

    net = bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]))
    post = bn.fit(net, data, amortize=lines, out=tmp_path / "run", **RANGE)
    with pytest.raises(ValueError, match=r"pass it, bayesnas.load\(path, amortize=...\)"):
        bn.load(tmp_path / "run")
    loaded = bn.load(tmp_path / "run", amortize=lines)
    assert torch.equal(values(loaded.at(0.5)), values(post.at(0.5)))
    again = bn.fit(net, data, amortize=lines, out=tmp_path / "run", resume=True, **RANGE)
    assert torch.equal(values(again.at(0.5)), values(post.at(0.5)))


class Lines(nn.Module):
    def __init__(self, initial: Tensor) -> None:
        super().__init__()
        self.base, self.slope = nn.Parameter(initial), nn.Parameter(torch.zeros_like(initial))

    def forward(self, t: Tensor) -> Tensor:
        return self.base + t * self.slope


@pytest.mark.parametrize(
    "other",
    [
        {"amortize": "linear"},
        {"amortize": bn.nn.PiecewiseMap(knots=9)},
        {"kl_weight": bn.LogUniform(0.1, 9)},
        {"kl_weight": 1.0},
    ],
)
def test_a_run_of_another_map_or_range_is_not_gone_on_with(data, tmp_path, other) -> None:
    net = bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]))
    bn.fit(net, data, out=tmp_path / "run", **RANGE)
    with pytest.raises(ValueError, match="resume: .*has settings (amortization|kl_weight)"):
        bn.fit(net, data, out=tmp_path / "run", resume=True, **{**RANGE, **other})


def test_the_export_has_a_kl_weight_dim(post, data, tmp_path) -> None:
    import xarray as xr

    tree = post.to_arviz([0.1, 1.0, 10.0], draws=6, data=data)
    tree.to_netcdf(tmp_path / "post.nc")
    with xr.open_datatree(tmp_path / "post.nc") as read:
        for group in ("posterior", "log_likelihood_by_kl_weight", "log_prior", "sample_stats"):
            dataset = read[group].to_dataset()
            assert dataset["kl_weight"].values.tolist() == [0.1, 1.0, 10.0]
            assert all(v.dims[:3] == ("chain", "draw", "kl_weight") for v in dataset.values())
        assert "kl_weight" not in read["observed_data"].to_dataset().coords
        assert read["svi"]["kl_weight"].dims == ("chain", "step")
    if has_inference_data():
        inference_data = post.to_inference_data([0.1, 1.0], draws=3)
        assert inference_data.posterior.sizes["kl_weight"] == 2
    alone = post.at(1.0).to_arviz(draws=6, data=data)["posterior"]["layer1.weight"]
    joined = tree["posterior"]["layer1.weight"].sel(kl_weight=1.0)
    assert np.array_equal(alone.values, joined.values)


@pytest.mark.slow
def test_refining_goes_on_from_one_kl_weight(post, data) -> None:
    before = post.at(1.0)
    unchanged = values(before).clone()
    after = before.refine(data, steps=60, lr=0.02, seed=5)
    assert torch.equal(values(before), unchanged)
    assert after.chains == 2
    assert after.history().sizes == {"chain": 2, "step": 60}
    assert (after.settings.lr, after.settings.batch_size, after.settings.seed) == (0.02, 9, 5)
    for chain in range(2):
        gain = [p.chain(chain).evaluate(data, draws=200)["elbo"] for p in (before, after)]
        assert gain[1] > gain[0]
    first = before.refine(data, steps=1, lr=1e-12)
    for chain in range(2):  # which is the best one, a single step says otherwise
        assert torch.allclose(values(before.chain(chain)), values(first.chain(chain)))


def test_refining_may_change_the_kl_weight(data) -> None:
    """A plain posterior goes on at a larger λ: its KL falls."""
    net = bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale=0.5)
    post = bn.fit(net, data, steps=60, batch_size=9, lr=0.05)
    after = post.refine(data, steps=100, kl_weight=20.0)
    assert after.kl_weight == 20.0
    assert after.complexity()["kl_nats"] < 0.7 * post.complexity()["kl_nats"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either epochs or steps"),
        ({"epochs": 1, "steps": 2}, "either epochs or steps"),
        ({"steps": 1, "lr": 0.0}, "lr must be"),
        ({"steps": 1, "kl_weight": -1.0}, "kl_weight must be"),
    ],
)
def test_bad_options_of_refining_are_named(post, data, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        post.at(1.0).refine(data, **options)


def test_early_stopping_looks_along_the_range(data) -> None:
    """The validation figure is the mean over five λ; the best epoch's map is what comes back."""
    x, y = data
    net = bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale=0.5)
    post = bn.fit(
        net, (x[:18], y[:18]), validation=(x[18:], y[18:]), patience=3, lr=0.3, epochs=60,
        kl_weight=bn.LogUniform(0.1, 10), batch_size=9, schedule="constant",
    )  # fmt: skip
    nll = post._chains[0].validation_nll
    best = min(range(len(nll)), key=nll.__getitem__)
    assert len(nll) == best + 4 < 60
    losses = [
        post.at(kl_weight).evaluate((x[18:], y[18:]), draws=8)["nll"]
        for kl_weight in (0.1, 10**-0.5, 1.0, 10**0.5, 10.0)
    ]
    assert np.mean(losses) == pytest.approx(nll[best], rel=1e-5)
