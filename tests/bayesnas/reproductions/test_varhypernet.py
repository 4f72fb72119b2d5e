"""The reproduction of the hypernetworks over the KL weight, at a tiny size."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import signal

import numpy as np
import pytest
from PIL import Image

import bayesnas as bn
from bayesnas.cli.main import main
from bayesnas.reproductions import Request, varhypernet
from bayesnas.reproductions.varhypernet import fits, published
from bayesnas.reproductions.varhypernet import settings as methods
from bayesnas.reproductions.varhypernet.measure import FRACTIONS

SETTINGS = methods.Settings("digits", 300, epochs=2, batch_size=128, starts=2, draws=2)


def tiny(request):
    """300 digits, six steps a fit."""
    data = bn.data.load("digits")
    train = data.train
    info = dataclasses.replace(train.info, n=300)
    part = bn.data.DataSet(
        "digits", type(train)(train.x[:300], train.y[:300], info), test=data.test
    )
    starts = SETTINGS.starts if request.seeds is None else request.seeds
    return dataclasses.replace(SETTINGS, starts=starts), part


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(varhypernet, "prepare", tiny)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished reproduction, its folder, and what was said."""
    out, said = tmp_path_factory.mktemp("reproduction"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(varhypernet, "prepare", tiny)
        reproduced = varhypernet.run(Request(out, say=said.append))
    return reproduced, out, said


def by_labels(reproduced):
    return {(c.quantity, *c.labels.values()): c for c in reproduced.comparisons}


@pytest.mark.slow
def test_every_published_figure_has_ours_beside_it(done):
    rows = by_labels(done[0])
    tables = {
        "accuracy": published.ACCURACY,
        "stability": published.STABILITY,
        "bound": published.BOUND,
    }
    for quantity, table in tables.items():
        for key, figures in table.items():
            name = f"({key}) {methods.METHODS[key].title}"
            for kl_weight, figure in zip(("0.1", "1", "10", "100"), figures, strict=True):
                comparison = rows[quantity, name, kl_weight]
                assert comparison.published == figure
                assert len(comparison.ours) == 2
                assert np.isfinite(comparison.ours).all()
    for key in ("g", "h"):  # ours, not in the source
        name = f"({key}) {methods.METHODS[key].title}"
        assert rows["bound", name, "1"].published is None


@pytest.mark.slow
def test_the_counts_of_the_published_settings_are_the_published_ones(done):
    rows = by_labels(done[0])
    for key, count in published.UPDATES.items():
        comparison = rows["updates", f"({key}) {methods.METHODS[key].title}", "as published"]
        assert comparison.published == count
        assert comparison.ours == (count,)
    # 300 examples, 3 steps of 128 an epoch, 2 epochs, 4 fits of (65·50 + 51·10)·2 scalars
    assert rows["updates", "(a) direct", "as run"].ours == (4 * 2 * 3 * 3760 * 2,)


@pytest.mark.slow
def test_figures_are_those_of_the_saved_fits(done):
    reproduced, out, _ = done
    figures = by_labels(reproduced)
    _, data = tiny(Request(out))
    scale = 300 / 60_000
    for folder, name, kl_weight in (
        ("a-10", "(a) direct", 10),
        ("f-0.1", "(f) linear + one epoch", 0.1),
        ("g", "(g) piecewise", 100),
    ):
        post = bn.load(out / "fits" / folder)
        post = post.at(kl_weight * scale) if folder == "g" else post
        assert post.kl_weight == pytest.approx(kl_weight * scale)
        for start in range(2):
            chain = post.chain(start)
            terms = chain.evaluate(data.train, draws=2)
            means = chain.evaluate(data.test, draws=0)
            rest = chain.prune(fraction=0.9).evaluate(data.test, draws=0)
            label = f"{kl_weight:g}"
            # The KL weighs as in the source, the log-likelihood is scaled up to its sample.
            bound = terms["expected_log_lik"] / scale - kl_weight * terms["kl"]
            assert figures["bound", name, label].ours[start] == pytest.approx(bound)
            assert figures["accuracy", name, label].ours[start] == means["accuracy"]
            stability = means["accuracy"] / rest["accuracy"]
            assert figures["stability", name, label].ours[start] == pytest.approx(stability)


@pytest.mark.slow
def test_files_hold_the_figures_and_the_curves(done):
    reproduced, out, _ = done
    with (out / "comparison.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(reproduced.comparisons) == 3 * 8 * 4 + 2 * 8
    with (out / "pruning.csv").open() as stream:
        curves = list(csv.DictReader(stream))
    assert len(curves) == 8 * 4 * 2 * len(FRACTIONS)
    first = [float(row["accuracy"]) for row in curves if row["removed"] == "0.0"][:2]
    assert tuple(first) == by_labels(reproduced)["accuracy", "(a) direct", "0.1"].ours
    with Image.open(out / "pruning.png") as picture:
        assert picture.height > 1000


@pytest.mark.slow
def test_a_second_call_fits_nothing_and_gives_the_same(done, monkeypatch):
    reproduced, out, said = done
    assert sum(line.startswith("fit ") for line in said) == 4 + 4 + 3 + 3 * 4
    monkeypatch.setattr(bn, "fit", None)
    again = varhypernet.run(Request(out, say=said.append))
    assert by_labels(again) == by_labels(reproduced)


@pytest.fixture
def ctrl_c():
    """Ctrl-C raises, also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c")
def test_after_an_interruption_the_next_call_goes_on(done, tmp_path):
    """Stopped twice: while a fit is running, and between an epoch of fine-tuning and the next."""
    stops = iter(["fit (c)", "fit (d) low rank + one epoch at λ = 10"])
    stop = next(stops)

    def say(text):
        if stop is not None and text.startswith(stop):
            signal.raise_signal(signal.SIGINT)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            varhypernet.run(Request(tmp_path, say=say))
        stop = next(stops, None)
    kept = {path.name for path in (tmp_path / "fits").iterdir()}
    assert {"a-0.1", "b-100", "c", "d-0.1", "d-1"} <= kept
    assert "e" not in kept
    before = (tmp_path / "fits" / "d-1" / "run.json").stat().st_mtime_ns
    reproduced = varhypernet.run(Request(tmp_path, say=say))
    assert (tmp_path / "fits" / "d-1" / "run.json").stat().st_mtime_ns == before
    assert by_labels(reproduced) == by_labels(done[0])


@pytest.mark.slow
def test_half_an_epoch_of_fine_tuning_is_not_kept(done, tmp_path, monkeypatch):
    _, out, _ = done
    settings, data = tiny(Request(out))
    made = fits.Fits(out / "fits", settings, data, Request(out))
    start = made.posterior(methods.METHODS["e"], 1.0)
    interrupted = fits.Fits(tmp_path, settings, data, Request(tmp_path))
    monkeypatch.setattr(interrupted, "_amortized", lambda method: made._amortized(method))
    monkeypatch.setattr(type(start), "refine", _interrupted)
    with pytest.raises(Warning, match="half"):
        interrupted.posterior(methods.METHODS["f"], 1.0)
    assert list(tmp_path.iterdir()) == []


def _interrupted(self, *args, **options):
    import warnings

    from bayesnas.runtime.interrupt import InterruptedFitWarning

    warnings.warn("half", InterruptedFitWarning, stacklevel=2)
    return self


@pytest.mark.slow
def test_a_folder_of_other_settings_is_refused(done):
    _, out, _ = done
    with pytest.raises(ValueError, match=r"out: .* with starts=2, got 1; give another folder"):
        varhypernet.run(Request(out, seeds=1))


@pytest.mark.slow
def test_the_command_prints_and_gives_json(done, call, call_json):
    reproduced, out, _ = done
    content = call_json("reproduce", "varhypernet", "--out", out)
    assert len(content["comparisons"]) == len(reproduced.comparisons)
    assert content["comparisons"][0]["published"] == 0.87686
    assert content["settings"]["starts"] == 2
    code, text, err = call("reproduce", "varhypernet", "--out", out, "--quiet")
    assert (code, err) == (0, "")
    for word in ("accuracy, ours (published)", "(0.8769)", "(7,458,976,000)", "pruning.png"):
        assert word in text


def test_the_command_says_how_to_go_on(call, tmp_path, monkeypatch):
    def stopped(request):
        raise KeyboardInterrupt

    monkeypatch.setattr(varhypernet, "prepare", stopped)
    words = ["reproduce", "varhypernet", "--out", tmp_path / "a b", "--quiet"]
    code, out, err = call(*words)
    assert (code, out) == (130, "")
    assert f"go on with: bayesnas reproduce varhypernet --out '{tmp_path}/a b' --quiet" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["varhypernett"], "did you mean 'varhypernet'?"),
        (["varhypernet", "--seeds", "0"], "--seeds must be a whole number >= 1, got 0"),
    ],
)
def test_bad_input_is_a_line(call, tmp_path, words, message):
    code, out, err = call("reproduce", *words, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "out").exists()


def test_the_tables_of_the_source_are_whole():
    for table in (published.ACCURACY, published.STABILITY, published.BOUND):
        assert sorted(table) == sorted(published.UPDATES) == list("abcdef")
        assert {len(row) for row in table.values()} == {4}
    assert all(0 < value < 1 for value in itertools.chain(*published.ACCURACY.values()))
    assert all(value < 0 for value in itertools.chain(*published.BOUND.values()))


def test_quick_takes_digits_where_there_is_no_mnist(tmp_path):
    settings, data = methods.prepare(Request(tmp_path, quick=True, root=str(tmp_path)))
    assert (settings.data, settings.starts, len(data.train)) == ("digits", 1, 1437)


def test_quick_takes_a_part_of_mnist(mnist_root, tmp_path):
    settings, data = methods.prepare(Request(tmp_path, quick=True, root=str(mnist_root), seeds=3))
    assert (settings.data, settings.starts) == ("mnist", 3)
    assert (len(data.train), data.train.info.n, len(data.test)) == (10_000, 10_000, 2_000)
    assert settings.scale == pytest.approx(1 / 6)


def test_the_whole_has_the_settings_of_the_source(mnist_root, tmp_path):
    settings, data = methods.prepare(Request(tmp_path, root=str(mnist_root)))
    assert (settings.epochs, settings.starts, settings.scale) == (25, 5, 1.0)
    model = methods.build_model(data)
    assert model.describe() == "GaussianNet 784–50–10"
    assert model.config()["prior_scale"] == 0.1
    assert settings.lr_of(methods.METHODS["a"]) == methods.METHODS["a"].lr


@pytest.mark.slow
def test_quick_runs_as_a_command_on_digits(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(varhypernet, "prepare", methods.prepare)
    words = ["reproduce", "varhypernet", "--quick", "--root", str(tmp_path / "none")]
    assert main([*words, "--out", str(tmp_path / "out"), "--quiet", "--json"]) == 0
    comparisons = json.loads(capsys.readouterr().out)["comparisons"]
    bounds = {(c["method"], c["λ"]): c["ours"] for c in comparisons if c["quantity"] == "bound"}
    # One start, so only what is far from chance: one fit for all λ beats direct fits of an epoch.
    for kl_weight in ("0.1", "1", "10"):
        assert bounds["(g) piecewise", kl_weight] > bounds["(b) direct, one epoch", kl_weight]
