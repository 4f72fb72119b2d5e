"""The toy experiment of the generalised objective, in its quick form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

import bayesnas as bn
from bayesnas.reproductions import REPRODUCTIONS, Request, generalised
from bayesnas.reproductions.generalised import settings
from bayesnas.reproductions.generalised.barrier import Barrier, structure_terms
from bayesnas.reproductions.generalised.figures import plot_simplex


def test_the_three_functions_have_fifteen_weights():
    """The constant, one of x₀, one of all inputs and the bias, as the formula has them."""
    x, y = settings.sample(0)
    assert x.shape == (50, 12)
    assert y.shape == (50,)
    assert torch.equal(x[:, -1], torch.ones(50))
    graph = settings.graph()
    assert graph.parameter_counts == {("x", "y"): (1, 2, 12)} == {("x", "y"): settings.COUNTS}
    functions = dict(graph.primitives["x->y"].named_children())
    assert list(functions) == list(settings.FUNCTIONS)
    (one,) = functions["f0"].parameters()
    weight, bias = functions["f1"].parameters()
    (all_of_them,) = functions["f2"].parameters()
    with torch.no_grad():
        assert torch.allclose(functions["f0"](x), one.expand(50, 1))
        assert torch.allclose(functions["f1"](x), torch.tanh(x[:, :1] * weight + bias))
        assert torch.allclose(functions["f2"](x), torch.tanh(x @ all_of_them.T))


@pytest.mark.slow
def test_one_command_writes_table_and_picture_and_goes_on(call_json, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "QUICK_STEPS", 3)
    words = ("reproduce", "generalised", "--quick", "--device", "cpu", "--out", tmp_path / "toy")
    output = call_json(*words)
    quantities = {row["quantity"] for row in output["comparisons"]}
    fitted = [row for row in output["comparisons"] if "setting" in row]
    assert len(fitted) == 5 * (len(quantities) - 1)
    assert {row["setting"] for row in fitted} >= set(settings.FUNCTIONS)
    with Image.open(tmp_path / "toy" / "simplex.png") as picture:
        assert picture.size[0] > 1000
    assert "f0 → f1" in (tmp_path / "toy" / "comparison.md").read_text()
    moved = bn.load(tmp_path / "toy" / "moved-0")
    assert moved.settings.objective["structure_weights"] == [-10.0, -10.0]

    def forbid(*arguments: object, **options: object) -> None:
        raise AssertionError("a fit was made again")

    monkeypatch.setattr(generalised, "fit", forbid)
    monkeypatch.setattr(bn.inference.Posterior, "refine", forbid)
    assert call_json(*words)["comparisons"] == output["comparisons"]
    with pytest.raises(ValueError, match="starts=1"):
        REPRODUCTIONS["generalised"].run(Request(tmp_path / "toy", quick=True, seeds=2))


def test_the_terms_at_the_centre_are_integrals_over_the_simplex():
    """At τ = 1 γ is uniform there: each γ_k is Beta(1, 2), and 1 / γ² floored has a closed form."""
    floor = 0.1
    below = 1 - (1 - floor) ** 2
    inverse_square = below / floor**2 + 2 * (1 / floor - 1 + math.log(floor))
    log_square = 2 * (below * math.log(floor) - 1.5 - _indefinite(floor))
    complexity, away = structure_terms(torch.zeros(3))
    expected = 15 * (math.log(inverse_square) + log_square) / 2
    assert complexity == pytest.approx(expected, abs=1.1)  # 5.5 standard errors of the fixed draws
    side = (np.arange(400) + 0.5) / 400
    first, second = (each.ravel() for each in np.meshgrid(side, side))
    inside = first + second < 1
    gamma = np.stack([first, second, 1 - first - second], -1)[inside]
    integrals = [math.log(2) - _log_concrete(gamma, p).mean() for p in settings.REPELLED]
    assert away == pytest.approx(sum(integrals), abs=0.5)


def _indefinite(x):
    """∫ 2 (1 − γ) ln γ dγ; −3/2 at 1."""
    return 2 * (x * math.log(x) - x) - (x**2 * math.log(x) - x**2 / 2)


def _log_concrete(gamma, shares, temperature=0.1):
    """Maddison, Mnih, Teh 2017: 2! τ² Π s_k γ_k^(−τ−1) / (Σ s_k γ_k^−τ)³."""
    powers = np.array(shares) * gamma**-temperature
    return (
        math.log(2 * temperature**2) + np.log(powers / gamma).sum(-1) - 3 * np.log(powers.sum(-1))
    )


@pytest.mark.slow
def test_a_barrier_stands_at_the_published_structure_weight_and_falls():
    barrier = Barrier()
    heights = [barrier.height(weight) for weight in (-0.5, -1.0, -2.0, -3.0, -10.0)]
    assert heights == sorted(heights, reverse=True)
    assert heights[1] > 0.5
    assert heights[-1] == 0.0


def test_corners_of_the_simplex_are_the_functions():
    from matplotlib.figure import Figure

    ax = plot_simplex(torch.eye(3), Figure().subplots())
    corners = ax.collections[0].get_offsets().tolist()
    assert [text.get_text().strip() for text in ax.texts] == list(settings.FUNCTIONS)
    for (x, y), text in zip(corners, ax.texts, strict=True):
        assert text.get_position() == pytest.approx((x, y))


@pytest.mark.slow
def test_every_function_is_likeliest_under_its_own_coefficients(tmp_path):
    """Probabilities near 0.9 against 0.1 in each of the ten seeds of the documentation."""
    request = Request(tmp_path / "toy", quick=True, device="cpu")
    REPRODUCTIONS["generalised"].run(request)
    probabilities = torch.stack(
        [
            generalised.probabilities(bn.load(request.out / f"fit-{name}-1-0"))
            for name in settings.FUNCTIONS
        ]
    )
    assert probabilities.argmax(0).tolist() == [0, 1, 2]
