"""The toy experiment of the generalised objective, in its quick form."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

import bayesnas as bn
from bayesnas.reproductions import REPRODUCTIONS, Request, generalised
from bayesnas.reproductions.generalised import settings
from bayesnas.reproductions.generalised.figures import plot_simplex


def test_the_three_functions_have_fifteen_weights():
    """The constant, one of x₀, one of all inputs and the bias, as the formula has them."""
    x, y = settings.sample(0)
    assert x.shape == (50, 12)
    assert y.shape == (50,)
    assert torch.equal(x[:, -1], torch.ones(50))
    graph = settings.graph()
    assert graph.parameter_counts == {("x", "y"): (1, 2, 12)}
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
    assert len(output["comparisons"]) == 5 * len(quantities)
    assert {row["setting"] for row in output["comparisons"]} >= set(settings.FUNCTIONS)
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
