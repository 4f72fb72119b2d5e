"""The network of mixed width: its forward pass, its prior, its sizes, and the reproduction."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from bayesnas.reproductions import REPRODUCTIONS, Request, mixed_width
from bayesnas.reproductions.mixed_width import fits, settings
from bayesnas.reproductions.mixed_width.fits import Compared, Trained, under_noise
from bayesnas.reproductions.mixed_width.network import (
    IDENTITY,
    MixedWidthNet,
    mixed_width_graph,
    narrow_widths,
    parameter_count,
    unit_shares,
)
from bayesnas.testing import ModelContract

OPTIONS = ("2", IDENTITY, "4")


@pytest.fixture
def graph():
    return mixed_width_graph(6, 3, [2, 4, 6], 3)


def narrow(graph, options):
    """The network of chosen options, its weights cut out of the graph's by hand."""
    layers, before = [], 6
    for i, option in enumerate(options, 1):
        if option == IDENTITY:
            continue
        wide = graph.primitive((f"h{i - 1}", f"t{i}"), "0")[0]
        layer = nn.Linear(before, int(option))
        layer.weight.data = wide.weight[: int(option), :before].detach()
        layer.bias.data = wide.bias[: int(option)].detach()
        layers += [layer, nn.Tanh()]
        before = int(option)
    (wide,) = graph.primitives["h3->y"].children()
    last = nn.Linear(before, 3)
    last.weight.data, last.bias.data = wide.weight[:, :before].detach(), wide.bias.detach()
    return nn.Sequential(*layers, last)


def vertices(graph, options):
    names = [graph.names[edge] for edge in graph.mixed]
    return {
        edge: nn.functional.one_hot(torch.tensor(known.index(option)), len(known)).float()
        for edge, known, option in zip(graph.mixed, names, options, strict=True)
    }


def test_a_vertex_of_gamma_is_the_network_of_these_widths(graph):
    x = torch.randn(5, 6)
    for options in (OPTIONS, (IDENTITY,) * 3, ("6", "6", "6"), (IDENTITY, "2", IDENTITY)):
        assert torch.allclose(
            graph(x, vertices(graph, options)), narrow(graph, options)(x), atol=1e-6
        )


def test_the_mixture_approaches_the_chosen_network_as_the_temperature_falls(graph):
    """γ is softmax(logits / τ) plus noise of none: at the means of the Gumbel draws."""
    x, chosen = torch.randn(5, 6), narrow(graph, OPTIONS)
    logits = {edge: 2.0 * vertex for edge, vertex in vertices(graph, OPTIONS).items()}
    distances = []
    for temperature in (1.0, 0.3, 0.1):
        gamma = {edge: (value / temperature).softmax(0) for edge, value in logits.items()}
        distances.append((graph(x, gamma) - chosen(x)).detach().abs().max())
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 1e-5


def test_units_count_by_the_options_that_they_are_part_of(graph):
    gamma = torch.tensor([0.1, 0.2, 0.3, 0.4])
    shares = unit_shares(graph, ("z2", "h2"), gamma)
    assert torch.allclose(shares, torch.tensor([0.9, 0.9, 0.7, 0.7, 0.4, 0.4]))


def test_parameters_are_those_of_the_narrow_network(graph):
    """By hand 6 · 2 + 2, 2 · 4 + 4 and 4 · 3 + 3."""
    assert narrow_widths(OPTIONS, 6, 3) == [6, 2, 4, 3]
    assert parameter_count(OPTIONS, 6, 3) == 14 + 12 + 15
    for options in (OPTIONS, (IDENTITY,) * 3, ("6", "4", "2")):
        counted = sum(p.numel() for p in narrow(graph, options).parameters())
        assert parameter_count(options, 6, 3) == counted


def test_the_prior_of_a_weight_has_the_scale_of_its_unit(graph):
    model = MixedWidthNet(graph, prior_scale=0.5, gamma_floor=0.05)
    gamma = {edge: torch.tensor([0.1, 0.2, 0.3, 0.4]) for edge in graph.mixed}
    gamma["z1", "h1"] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    scales = {site: model.prior_given(site, gamma).scale for site in model.layers.shapes}
    first, second = "primitives.h0->t1.0.0", "primitives.h1->t2.0.0"
    assert torch.allclose(scales[f"{first}.weight"], torch.tensor(0.5 * 0.05))
    assert scales[f"{second}.weight"].shape == (6, 1)
    assert torch.allclose(
        scales[f"{second}.bias"], 0.5 * torch.tensor([0.9, 0.9, 0.7, 0.7, 0.4, 0.4])
    )
    assert scales["primitives.h3->y.0.weight"] == 0.5


@pytest.mark.parametrize("widths", [[], [4, 2], [2, 2], [7], [0, 2]])
def test_widths_that_do_not_rise_are_refused(widths):
    with pytest.raises(ValueError, match="widths"):
        mixed_width_graph(6, 2, widths, 3)


def test_no_layer_is_refused():
    with pytest.raises(ValueError, match="layers"):
        mixed_width_graph(6, 0, [2], 3)


@pytest.mark.slow
class TestMixedWidthNet(ModelContract):
    def make_model(self):
        return MixedWidthNet(mixed_width_graph(4, 2, [1, 4], 3), structure_prior="learned")

    def make_data(self):
        generator = torch.Generator().manual_seed(1)
        return torch.randn(12, 4, generator=generator), torch.arange(12) % 3


def test_random_search_is_judged_by_held_out_images():
    networks = [
        Trained(("2",), 100, 0.5, (0.9, 0.8, 0.7, 0.6)),
        Trained(("6",), 400, 0.7, (0.8, 0.7, 0.6, 0.5)),
    ]
    one = Compared(Trained((IDENTITY,), 50, 0.6, (0.7, 0.7, 0.7, 0.7)), tuple(networks))
    assert one.best is networks[1]
    assert one.share == 50 / 400
    rows = {
        (c.quantity, *c.labels.values()): c.mean for c in mixed_width.compare("digits", [one, one])
    }
    assert rows["test accuracy", "digits", mixed_width.RANDOM, "1"] == 0.5
    assert rows["parameters", "digits", mixed_width.PROPOSED] == 50
    (_, said) = mixed_width.remarks(settings.settings_of(Request(Path(), quick=True)), {"d": [one]})
    assert "0.12 of random search's parameters" in said
    assert "in points: -10.00, with noise of 1 20.00" in said


def test_noise_on_the_inputs_costs_accuracy():
    """Two classes a distance of 2 apart: Φ(1 / σ) of them are told, .84 at σ = 1."""
    x = torch.tensor([[-1.0], [1.0]]).repeat(20_000, 1)
    net = nn.Linear(1, 2, bias=False)
    net.weight.data = torch.tensor([[-1.0], [1.0]])
    shares = under_noise(net, (x, torch.arange(len(x)) % 2), seed=0)
    expected = [1.0, *(0.5 * (1 + math.erf(1 / (s * math.sqrt(2)))) for s in settings.NOISE[1:])]
    assert shares == pytest.approx(expected, abs=0.02)  # 10 standard errors


def test_coefficients_make_a_sample_of_one_size():
    """Property 5: λ = m / 3,000 stands for 3,000 images, in one joint step."""
    quick = settings.settings_of(Request(Path(), quick=True))
    objective = settings.objective(quick, 12_000)
    assert objective.is_joint
    assert objective.kl_weight_lower == objective.kl_weight_upper == 4.0


def test_images_are_padded_and_averaged():
    x = torch.rand(2, 1, 28, 28)
    small = settings.scaled(x, 16)
    assert small.shape == (2, 256)
    assert torch.allclose(small.sum(1), x.sum((1, 2, 3)) / 4)
    assert torch.equal(settings.scaled(x.flatten(1), 28), x.flatten(1))


@pytest.mark.slow
def test_one_command_writes_table_and_picture_and_goes_on(call_json, tmp_path, monkeypatch):
    monkeypatch.setattr(
        mixed_width, "settings_of",
        lambda request: replace(settings.settings_of(request), steps=5, trials=2),
    )  # fmt: skip
    words = ("reproduce", "mixed-width", "--quick", "--device", "cpu", "--out", tmp_path / "out")
    output = call_json(*words)
    assert {row["quantity"] for row in output["comparisons"]} == {
        "test accuracy", "parameters", "share of random search's parameters",
    }  # fmt: skip
    with Image.open(tmp_path / "out" / "mixed-width.png") as picture:
        assert picture.size[0] > 800

    def forbid(*arguments: object, **options: object) -> None:
        raise AssertionError("a fit was made again")

    monkeypatch.setattr(fits, "fit", forbid)
    assert call_json(*words)["comparisons"] == output["comparisons"]
    with pytest.raises(ValueError, match="starts=1"):
        REPRODUCTIONS["mixed-width"].run(Request(tmp_path / "out", quick=True, seeds=2))
