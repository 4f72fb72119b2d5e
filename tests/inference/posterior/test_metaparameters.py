"""Fits over a box of metaparameters: exact optima, choice by evidence, files, export, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

import bayesnas as bn

NOISE = 0.5
BOX = {
    "kl_weight": bn.LogUniform(0.1, 10),
    "metaparameters": {"prior_scale": bn.LogUniform(0.1, 3)},
}
SHORT = {**BOX, "steps": 40, "batch_size": 9, "lr": 0.05}


@pytest.fixture(scope="module")
def regression() -> tuple[Tensor, Tensor]:
    """Orthogonal columns, for which a mean-field guide holds the exact posterior."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(60, 4, generator=generator, dtype=torch.float64)).Q
    x = basis.float() * math.sqrt(60)
    y = x @ torch.tensor([0.8, 0.0, -0.4, 0.1]) + NOISE * torch.randn(60, generator=generator)
    return x, y


@pytest.fixture(scope="module")
def fitted(regression) -> bn.inference.AmortizedPosterior:
    net = torch.nn.Linear(4, 1, bias=False)
    model = bn.models.GaussianNet(net, likelihood="gaussian", noise_scale=NOISE)
    return bn.fit(model, regression, **BOX, steps=2500, batch_size=60, lr=0.05, compile="trace")


@pytest.fixture(scope="module")
def data() -> tuple[Tensor, Tensor]:
    x = torch.randn(27, 4, generator=torch.Generator().manual_seed(1))
    return x, x[:, :3].argmax(1)


@pytest.fixture(scope="module")
def post(data) -> bn.inference.AmortizedPosterior:
    return bn.fit(bn.models.GaussianNet(bn.nn.mlp([4, 6, 3])), data, restarts=2, **SHORT)


def log_evidence(x: Tensor, y: Tensor, scale: float) -> float:
    """Ln p(y | x) with the weights integrated out: y ~ N(0, σ² I + s² X Xᵀ)."""
    x, y = x.double(), y.double()
    covariance = NOISE**2 * torch.eye(len(y)) + scale**2 * x @ x.T
    return MultivariateNormal(torch.zeros_like(y), covariance).log_prob(y).item()


def values(post: bn.Posterior) -> Tensor:
    return torch.cat([value.flatten() for value in post.model.state_dict().values()])


# Exact optima -----------------------------------------------------------------------------


@pytest.mark.parametrize("kl_weight", [0.1, 0.4, 1.0, 7.0, 10.0])
@pytest.mark.parametrize("scale", [0.1, 0.23, 1.0, 3.0])
def test_the_guide_is_the_tempered_posterior_of_every_cell(
    fitted, regression, kl_weight, scale
) -> None:
    """Precisions n/(λσ²) + 1/s², on and between knots, for one fit of all."""
    x, y = (part.double() for part in regression)
    precision = 60 / (kl_weight * NOISE**2) + 1 / scale**2
    exact = x.T @ y / (kl_weight * NOISE**2) / precision
    post = fitted.at(kl_weight, prior_scale=scale)
    ((loc, width),) = post.model.weight_posteriors().values()
    ratio = width.double() * math.sqrt(precision)
    shift = (loc.double() - exact) * math.sqrt(precision)
    divergence = (ratio.square() + shift.square() - 1 - 2 * ratio.log()).sum() / 2
    # Nats. The largest of 60 cells of three seeds was 0.28; a guide of s = 3 is 5 from one of 0.1.
    assert divergence < 1.5
    assert float(post.model.log_prior_scale.exp()) == pytest.approx(scale)


def test_the_evidence_chooses_the_prior_scale(fitted, regression) -> None:
    """Against the maximiser of the exact evidence on a grid of a thousand scales."""
    scales = np.geomspace(0.1, 3, 1001)
    exact = np.array([log_evidence(*regression, scale) for scale in scales])
    by_bound = fitted.choose(regression, points=5, draws=32)
    known = fitted.choose(regression, points=5, method="exact")
    assert math.log(known.values["prior_scale"] / scales[exact.argmax()]) == pytest.approx(
        0,
        abs=0.06,  # half of a cell of the finest grid, in ln s
    )
    assert known.evidence.log_evidence == pytest.approx(exact.max(), abs=0.02)
    assert log_evidence(*regression, by_bound.values["prior_scale"]) > exact.max() - 0.5
    expected = [log_evidence(*regression, scale) for scale in by_bound.grid["prior_scale"].values]
    known_grid = known.grid["log_evidence"].values
    assert np.allclose(known_grid, expected, atol=1e-3)
    gap = by_bound.grid["log_evidence"].values - expected
    assert np.all(np.abs(gap) < 1.5 + 5.5 * by_bound.grid["error"].values)
    assert "prior_scale=" in repr(by_bound)


# Asking -----------------------------------------------------------------------------------


def test_the_posterior_of_a_cell_has_its_metaparameters(post, tmp_path) -> None:
    at = post.at(1.0, prior_scale=0.3)
    assert at.run.model.config()["prior_scale"] == 0.3
    assert torch.allclose(at.model.log_prior_scale.exp(), torch.full((2,), 0.3))
    assert post.run.model.config()["prior_scale"] == 1.0
    at.save(tmp_path / "cell")
    loaded = bn.load(tmp_path / "cell")
    assert torch.equal(values(loaded), values(at))
    assert loaded.run.model.config()["prior_scale"] == 0.3
    assert torch.equal(values(at.chain(1)), values(post.chain(1).at(1.0, prior_scale=0.3)))


def test_held_at_a_value_a_fit_is_one_over_the_kl_weight(post, data) -> None:
    at_scale = post.given(prior_scale=0.3)
    assert torch.equal(values(at_scale.at(2.0)), values(post.at(2.0, prior_scale=0.3)))
    assert torch.equal(
        values(at_scale.chain(1).to("cpu").at(2.0)), values(post.chain(1).at(2.0, prior_scale=0.3))
    )
    frontier = at_scale.frontier([0.1, 10.0], data, draws=2)
    grid = post.frontier([0.1, 10.0], data, draws=2, prior_scale=[0.3])
    assert frontier.equals(grid.isel(prior_scale=0, drop=True))


def test_the_frontier_is_over_a_grid(post, data) -> None:
    frontier = post.frontier([0.1, 1.0], data, draws=2, prior_scale=[0.1, 0.5, 3.0])
    assert frontier["elbo"].dims == ("kl_weight", "prior_scale")
    cell = post.at(1.0, prior_scale=0.5).evaluate(data, draws=2)
    assert float(frontier["elbo"].sel(kl_weight=1.0, prior_scale=0.5)) == cell["elbo"]


def test_the_history_says_the_metaparameters_of_every_step(post) -> None:
    history = post.history()
    drawn = history["prior_scale"]
    assert drawn.dims == ("step",)
    assert np.all((drawn >= 0.1) & (drawn <= 3.0))
    assert len(np.unique(drawn)) > 20


def test_the_export_has_a_dim_for_each(post, data, tmp_path) -> None:
    import xarray as xr

    tree = post.to_arviz([0.1, 1.0], draws=3, data=data, prior_scale=[0.1, 0.5, 3.0])
    tree.to_netcdf(tmp_path / "post.nc")
    with xr.open_datatree(tmp_path / "post.nc") as read:
        for group in ("posterior", "log_likelihood_by_kl_weight", "log_prior", "sample_stats"):
            dataset = read[group].to_dataset()
            assert dataset["prior_scale"].values.tolist() == [0.1, 0.5, 3.0]
            dims = ("chain", "draw", "kl_weight", "prior_scale")
            assert all(variable.dims[:4] == dims for variable in dataset.values())
        assert "prior_scale" not in read["observed_data"].to_dataset().coords
    alone = post.at(1.0, prior_scale=0.5).to_arviz(3, data)["posterior"]["layer1.weight"]
    joined = tree["posterior"]["layer1.weight"].sel(kl_weight=1.0, prior_scale=0.5)
    assert np.array_equal(alone.values, joined.values)


def test_save_and_load_round_trip(post, tmp_path) -> None:
    post.save(tmp_path / "run")
    loaded = bn.load(tmp_path / "run")
    assert isinstance(loaded, bn.inference.AmortizedPosterior)
    assert repr(loaded) == repr(post)
    assert "kl_weight=0.1…10, prior_scale=0.1…3" in repr(post)
    for scale in (0.1, 0.7):
        assert torch.equal(
            values(loaded.at(0.5, prior_scale=scale)), values(post.at(0.5, prior_scale=scale))
        )


# Fitting ----------------------------------------------------------------------------------


@pytest.mark.slow_except("False")
@pytest.mark.parametrize("compile", [False, "trace"])
def test_a_resumed_fit_is_the_unbroken_one(data, tmp_path, compile) -> None:
    net = bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]))
    options = {**SHORT, "checkpoint_every": 7, "compile": compile}
    whole = bn.fit(net, data, **options)

    def stop(event: bn.inference.StepEvent) -> None:
        if event.step == 20:
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        bn.fit(net, data, out=tmp_path / "run", on_step=stop, **options)
    resumed = bn.fit(net, data, out=tmp_path / "run", resume=True, **options)
    assert whole.history().equals(resumed.history())
    for scale in (0.1, 0.6, 3.0):
        first, second = (each.at(2.0, prior_scale=scale) for each in (whole, resumed))
        assert torch.equal(values(first), values(second))


def test_chains_together_are_the_chains_alone(post, data) -> None:
    together = bn.fit(
        bn.models.GaussianNet(bn.nn.mlp([4, 6, 3])), data, restarts=2, batched=True,
        compile="trace", **SHORT,
    )  # fmt: skip
    for name in ("loss", "prior_scale", "kl_weight"):
        assert np.allclose(together.history()[name], post.history()[name], rtol=1e-3)


def test_early_stopping_looks_over_the_box(data) -> None:
    """A Latin square: λ and the scale each take their five values once."""
    x, y = data
    net = bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]))
    post = bn.fit(net, (x, y), validation=(x, y), **{**SHORT, "steps": 3, "batch_size": 27})
    places, order = (0.0, 0.25, 0.5, 0.75, 1.0), (0, 2, 4, 1, 3)
    losses = [
        post.at(0.1 * 100**t, prior_scale=0.1 * 30 ** places[other]).evaluate(data, draws=8)["nll"]
        for t, other in zip(places, order, strict=True)
    ]
    assert np.mean(losses) == pytest.approx(post._chains[0].validation_nll[-1], rel=1e-5)


def test_a_fit_over_three_of_them(regression) -> None:
    model = bn.models.GaussianNet(bn.nn.mlp([4, 3, 1]), likelihood="gaussian", noise_scale=0.5)
    ranges = {"noise_scale": bn.Uniform(0.3, 1.0), "prior_scale": bn.LogUniform(0.1, 1)}
    knots = bn.nn.PiecewiseMap({"kl_weight": 4, "noise_scale": 2})
    post = bn.fit(
        model, regression, kl_weight=bn.LogUniform(0.5, 2), metaparameters=ranges, amortize=knots,
        steps=6,
    )  # fmt: skip
    (group,) = post._chains[0].trained.groups
    assert len(group.net.leaves) == 4 * 2 * 3
    at = post.at(1.0, prior_scale=0.5, noise_scale=0.4)
    assert float(at.model.likelihood.noise_scale) == pytest.approx(0.4)
    assert post.choose(regression, points=3, draws=1).grid.sizes == {
        "noise_scale": 3,
        "prior_scale": 3,
    }


# Bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"prior_scale must be given too, post.at\(kl_weight, prior_scale=...\).*\[0.1, 3\]"),
        ({"prior_scale": 3.1}, r"prior_scale must be in the fitted range \[0.1, 3\], got 3.1"),
        ({"prior_scale": math.nan}, "prior_scale must be a finite number, got nan"),
        ({"prior_scale": "1"}, "prior_scale must be a"),
        ({"prior_scale": 1.0, "scale": 1.0}, r"must be of those fitted.*got 'scale'"),
    ],
)
def test_a_place_outside_the_box_is_refused(post, given, message) -> None:
    with pytest.raises(ValueError, match=message):
        post.at(1.0, **given)
    if given:
        with pytest.raises(ValueError, match=message):
            post.given(**given)


def test_what_can_not_be_asked_is_named(post, data) -> None:
    with pytest.raises(ValueError, match="prior_scale must hold at least one value"):
        post.frontier([1.0], data, prior_scale=[])
    with pytest.raises(ValueError, match="points must be"):
        post.choose(data, points=2)
    with pytest.raises(ValueError, match="choose needs a fit over metaparameters besides"):
        post.given(prior_scale=0.3).choose(data)
    far = bn.fit(
        bn.models.GaussianNet(bn.nn.mlp([4, 3])), data, steps=2,
        **{**BOX, "kl_weight": bn.LogUniform(2, 3)},
    )  # fmt: skip
    with pytest.raises(ValueError, match="λ = 1, which must lie in the fitted range, got 2…3"):
        far.choose(data)
    several = bn.fit(bn.models.GaussianNet(bn.nn.mlp([4, 3])), data, kl_weight=[1, 2], steps=2)
    with pytest.raises(ValueError, match="prior_scale can't be chosen"):
        several.at(1, prior_scale=0.3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kl_weight": 1.0}, "metaparameters needs a range of KL weights.*got kl_weight=1.0"),
        ({"metaparameters": {"width": bn.LogUniform(1, 2)}}, r"\['prior_scale'\], got \['width'\]"),
        ({"metaparameters": {"prior_scale": 0.3}}, r"metaparameters\['prior_scale'\] must be a r"),
        (
            {"metaparameters": {"prior_scale": bn.Uniform(-1, 1)}},
            r"metaparameters\['prior_scale'\]: prior_scale must be.*-1",
        ),
        (
            {"metaparameters": {"prior_scale": bn.LogUniform(torch.ones(2), 3)}},
            "must be one range, got a LogUniform of batch shape",
        ),
        ({"amortize": bn.nn.PiecewiseMap({"width": 3})}, r"knots must be of .*got \['width'\]"),
        ({"amortize": bn.nn.PiecewiseMap(1000)}, "knots must be at most 10,000 in all"),
        ({"amortize": bn.nn.MonotoneMap((1.0, 2.0))}, "function of the KL weight alone"),
        ({"metaparameters": [1]}, "metaparameters must be a mapping"),
    ],
)
def test_bad_options_of_a_fit_are_named(data, options, message) -> None:
    net = bn.models.GaussianNet(bn.nn.mlp([4, 3]))
    with pytest.raises((ValueError, TypeError), match=message):
        bn.fit(net, data, **{**SHORT, **options})


@pytest.mark.parametrize("prior", ["learned", "ard", [0.1, 0.2]])
def test_a_scale_that_is_learned_or_of_layers_is_no_metaparameter(data, prior) -> None:
    net = bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale=prior)
    assert net.metaparameters() == ()
    with pytest.raises(ValueError, match=r"of those that the model has, \[\], got"):
        bn.fit(net, data, **SHORT)
    with pytest.raises(ValueError, match="GaussianNet has no metaparameter 'prior_scale'"):
        net.set_metaparameter("prior_scale", 0.3)
