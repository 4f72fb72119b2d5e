"""The demonstration of redundancy, one start."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bayesnas.reproductions import Request, redundancy
from bayesnas.reproductions.redundancy.settings import NOISE, sample


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("reproduction")
    return redundancy.run(Request(out, quick=True, device="cpu")), out


def figures(measured, quantity):
    return {
        tuple(c.labels.values()): c.ours[0] for c in measured.comparisons if c.quantity == quantity
    }


def test_the_likelihood_is_flat_until_the_last_copies_go(done):
    """The flat level is that of least squares on the five features."""
    measured = figures(done[0], "nats a training row")
    x, y = (part.double().numpy() for part in sample(1))
    design = np.column_stack([x[:, :5], np.ones(len(x))])
    residuals = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    best = -0.5 * np.mean(residuals**2) / NOISE**2 - np.log(NOISE * np.sqrt(2 * np.pi))
    for removed in (0, 5, 10, 15):
        assert measured["log-likelihood", str(removed)] == pytest.approx(best, abs=1e-4)
    assert best - measured["log-likelihood", "16"] > 0.05


def test_noise_of_the_inputs_adds_the_squares_of_the_weights(done):
    """E (f(x + σε) − y)² = E (f(x) − y)² + σ² ‖w‖², exactly: within the error of the draws."""
    measured = figures(done[0], "test RMSE")
    assert measured["redundant", "0"] == pytest.approx(measured["compact", "0"], rel=0.02)
    assert measured["redundant", "1"] > 1.5 * measured["compact", "1"]
    assert measured["redundant, L2", "1"] < measured["compact", "1"]


def test_it_writes_a_picture_and_reads_what_is_there(done):
    measured, out = done
    with Image.open(out / "redundancy.png") as picture:
        assert picture.width > 1000
    assert "Optimal Brain Surgeon" in measured.remarks[0]
    said = []
    again = redundancy.run(Request(out, quick=True, device="cpu", say=said.append))
    assert (said, again.comparisons) == ([], measured.comparisons)
