"""The report: its numbers against those of the posterior, its picture against its pixels."""

from __future__ import annotations

import json

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from PIL import Image

import bayesnas as bn
from bayesnas.report.figure import caption, measure, report_figure, write_report


@pytest.fixture(scope="module")
def digits():
    data = bn.data.load("digits")
    model = bn.models.GaussianNet(bn.nn.mlp([64, 20, 10]), prior_scale=0.5)
    return bn.fit(model, data.train, steps=150, lr=1e-2, batch_size=100, seed=4), data


@pytest.fixture(scope="module")
def diabetes():
    data = bn.data.load("diabetes", standardise=True)
    model = bn.models.GaussianNet(bn.nn.mlp([10, 8, 1]), likelihood="gaussian")
    return bn.fit(model, data.train, steps=300, lr=1e-2, restarts=2), data


def test_the_numbers_are_those_of_the_posterior(digits):
    post, data = digits
    findings = measure(post, data, draws=8)
    assert findings.metrics["test"] == post.evaluate(data.test, draws=8)
    assert findings.complexity == pytest.approx(post.complexity(data.train, draws=8))
    confidence, accuracy, share = findings.calibration
    assert share.sum() == pytest.approx(1)
    assert np.nansum(share * accuracy) == pytest.approx(findings.metrics["test"]["accuracy"])
    error = np.nansum(share * np.abs(accuracy - confidence))
    assert error == pytest.approx(findings.metrics["test"]["ece"])
    assert findings.pruning["accuracy"].sel(by="density", fraction=0.0) == pytest.approx(
        post.evaluate(data.test, draws=0)["accuracy"]
    )


def test_of_an_amortised_fit_the_steps_near_the_kl_weight_are_shown(digits):
    post, data = digits
    fit = bn.fit(post.model, data.train, kl_weight=bn.LogUniform(0.1, 10), kl_warmup=0.5, steps=40)
    findings = measure(fit.at(2.0), data, draws=1)
    weights = fit.history()["kl_weight"].values[0]
    near = (weights > 2 * np.exp(-0.5)) & (weights < 2 * np.exp(0.5))
    assert 2 < near.sum() < 30
    assert (np.isfinite(findings.history["loss"].values[0]) == near).all()
    assert f"λ = 2, of one fit over λ = {weights[20:].min():g}…10." in caption(findings)
    report_figure(findings)


def test_one_kl_weight_that_warms_up_is_no_range(digits):
    post, data = digits
    fit = bn.fit(post.model, data.train, kl_weight=2.0, kl_warmup=0.5, steps=10)
    findings = measure(fit, data, draws=1)
    assert np.isfinite(findings.history["loss"]).all()
    assert "one fit over" not in caption(findings)


def test_an_amortised_fit_without_a_step_near_shows_them_all(digits):
    post, data = digits
    fit = bn.fit(post.model, data.train, kl_weight=bn.LogUniform(1e-6, 1e6), steps=2)
    findings = measure(fit.at(1e6), data, draws=1)
    assert np.isfinite(findings.history["loss"]).all()


def test_signal_to_noise_is_that_of_the_weights_kept(digits):
    post, data = digits
    by_site = measure(post.prune(fraction=0.5), data, draws=1).signal_to_noise
    ratios = [loc.abs() / scale for loc, scale in post.model.weight_posteriors().values()]
    expected = torch.cat([ratio.flatten() for ratio in ratios]).sort(descending=True).values
    kept = np.sort(np.concatenate(list(by_site.values())))[::-1]
    np.testing.assert_allclose(kept, expected[: len(kept)].numpy(), rtol=1e-6)
    assert len(kept) == 1510 - 755


def test_the_caption_says_what_was_fitted_on_what(digits):
    post, data = digits
    findings = measure(post, data, draws=8)
    text = caption(findings).replace("\N{NO-BREAK SPACE}", " ")
    for part in (
        "GaussianNet 64–20–10 (prior scale 0.5) fitted to digits",
        "1,437 training and 360 test examples, 10 classes",
        "KL weight λ = 1.",
        "150 steps of 100 examples (10 epochs), learning rate 0.01 (cosine), seed 4.",
        f"Test accuracy {100 * findings.metrics['test']['accuracy']:.1f} %",
        "(over 8 draws)",
        f"bayesnas {bn.__version__}",
    ):
        assert part in text
    pruned = measure(post.prune(fraction=0.8), data, draws=0)
    text = caption(pruned).replace("\N{NO-BREAK SPACE}", " ")
    assert "80 % of 1,510 weights are removed" in text
    assert "(at the posterior means)" in text


def test_the_picture_has_four_panels_with_something_in_each(digits, tmp_path):
    post, data = digits
    path = tmp_path / "report.png"
    write_report(post, data, path, draws=2)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=int)
    height, width, _ = pixels.shape
    assert min(height, width) >= 1000
    coloured = pixels.max(2) - pixels.min(2) > 60
    for rows in (slice(0, height // 2), slice(height // 2, height)):
        for columns in (slice(0, width // 2), slice(width // 2, width)):
            assert coloured[rows, columns].sum() > 500
    margin = np.concatenate([pixels[:4].ravel(), pixels[:, :4].ravel(), pixels[:, -4:].ravel()])
    assert (margin > 250).all()  # nothing is cut off at the edges


def test_no_text_is_cut_off_or_covers_the_caption(digits):
    figure = report_figure(measure(*digits, draws=1))
    figure.draw_without_rendering()
    whole = figure.bbox
    note = figure.texts[0].get_window_extent()
    assert note.x0 > 0
    assert note.x1 < whole.x1
    assert note.y0 > 0
    for ax in figure.axes:
        box = ax.get_tightbbox()
        assert box.x0 >= 0
        assert box.x1 <= whole.x1
        assert box.y1 <= whole.y1
        assert box.y0 >= note.y1


@pytest.mark.slow
def test_a_regression_is_reported_in_its_own_units(diabetes):
    post, data = diabetes
    findings = measure(post, data)
    mean, true, low, high = findings.predictions
    np.testing.assert_allclose(
        np.sort(true), np.sort(bn.data.load("diabetes").test.y.numpy()), rtol=1e-5
    )
    rmse = np.sqrt(np.mean((mean - true) ** 2))
    scale = data.info.standardisation.y_scale[0]
    assert rmse == pytest.approx(scale * findings.metrics["test"]["rmse"], rel=0.02)
    assert 0.7 < findings.to_dict()["interval_coverage"] <= 1
    assert (low < mean).all()
    assert (mean < high).all()
    text = caption(findings)
    assert f"rmse {scale * findings.metrics['test']['rmse']:.3g}, standardised" in text
    assert "best of 2 starts" in text
    assert [ax.get_xlabel() for ax in report_figure(findings).axes][2] == "true value"


@pytest.mark.slow
def test_the_numbers_are_json(digits, diabetes):
    for post, data in (digits, diabetes):
        content = measure(post, data, draws=2).to_dict()
        stored = json.loads(json.dumps(content))
        assert stored["pruning"]["fraction"][-1] == 0.95
        assert stored["data"]["train"] == len(data.train)


def test_without_a_test_part_predictions_are_judged_on_what_there_is(digits):
    post, data = digits
    only = bn.data.DataSet(data.name, data.train, validation=data.test)
    assert measure(post, only, draws=1).part == "validation"
    findings = measure(post, bn.data.DataSet(data.name, data.train), draws=1)
    assert findings.part == "train"
    assert list(findings.metrics) == ["train"]
    assert "Training accuracy" in caption(findings)


def test_a_model_without_weights_has_no_panel_for_them(digits):
    _, data = digits

    def model(x, y=None):
        logits = pyro.sample("logits", dist.Normal(torch.zeros(10), 1.0).to_event(1))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Categorical(logits=logits.expand(len(x), 10)), obs=y)

    def guide(x, y=None):
        loc = pyro.param("loc", torch.zeros(10))
        pyro.sample("logits", dist.Normal(loc, 0.1).to_event(1))

    post = bn.fit(bn.models.PyroPair(model, guide), data.train, steps=3)
    findings = measure(post, data, draws=2)
    assert findings.pruning is None
    assert findings.signal_to_noise == {}
    titles = [ax.get_title(loc="left") for ax in report_figure(findings).axes]
    assert [title for title in titles if title] == ["a  Loss and KL", "b  Calibration, test part"]


def test_nothing_is_drawn_of_weights_that_are_all_removed(digits):
    post, data = digits
    figure = report_figure(measure(post.prune(fraction=1.0), data, draws=1))
    assert len(figure.axes) == 3


def test_other_endings_and_folders_are_refused(digits, tmp_path):
    for path, error, words in (
        (tmp_path / "a.jpg", ValueError, r"out must end in \.png, \.pdf, \.svg"),
        (tmp_path / "absent" / "a.png", FileNotFoundError, "there is no folder"),
    ):
        with pytest.raises(error, match=words):
            write_report(*digits, path)
    (tmp_path / "b.png").mkdir()
    with pytest.raises(IsADirectoryError, match="must be a file"):
        write_report(*digits, tmp_path / "b.png")


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "start"), [(".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_other_formats(digits, tmp_path, suffix, start):
    path = tmp_path / f"report{suffix}"
    path.write_text("an old one")
    write_report(*digits, path, draws=1)
    assert path.read_bytes().startswith(start)
