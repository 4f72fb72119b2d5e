"""What a fit takes where nothing is said."""

from __future__ import annotations

import operator

import pytest
import torch
from sklearn.datasets import load_wine

import bayesnas as bn
from bayesnas.models.contract.fit_defaults import FitDefaults
from bayesnas.report.findings import steps_taken


@pytest.mark.parametrize(
    ("epochs", "steps", "batch_size", "expected"),
    [
        (3, 1, 8, 12),  # four batches a pass, three passes
        (1, 10, 8, 12),  # ten steps are two and a half passes
        (2, 5, 100, 5),  # the batch is the sample
    ],
)
def test_a_fit_without_a_length_takes_that_of_its_model(
    net, xy, monkeypatch, epochs, steps, batch_size, expected
):
    defaults = FitDefaults(epochs=epochs, steps=steps)
    monkeypatch.setattr(type(net), "fit_defaults", lambda self, examples: defaults)
    post = bn.fit(net, xy, batch_size=batch_size, progress=False)
    assert steps_taken(post) == expected
    assert steps_taken(bn.fit(net, xy, steps=2, progress=False)) == 2


def test_what_is_given_wins(net, xy, monkeypatch):
    monkeypatch.setattr(
        type(net),
        "fit_defaults",
        lambda self, examples: FitDefaults(
            lr=0.5, batch_size=examples // 3, kl_weight=0.2, kl_warmup=0.5
        ),
    )
    said = operator.attrgetter("lr", "batch_size", "kl_weight", "kl_warmup")
    assert said(bn.fit(net, xy, steps=1, progress=False).settings) == (0.5, 9, 0.2, 0.5)
    options = {"lr": 0.1, "batch_size": 4, "kl_weight": 1.0, "kl_warmup": 0.0}
    assert said(bn.fit(net, xy, steps=1, progress=False, **options).settings) == (0.1, 4, 1.0, 0.0)


def test_only_a_compression_net_has_another_kl_weight_than_one(net, xy):
    groups = bn.models.BayesianCompressionNet(bn.nn.mlp([4, 6, 3]))
    many = (torch.randn(1000, 4), torch.arange(1000) % 3)
    assert bn.fit(groups, many, steps=1, progress=False).kl_weight == 0.1
    assert bn.fit(groups, xy, steps=1, progress=False).kl_weight == 1.0
    assert [groups.fit_defaults(n).kl_weight for n in (999, 1000)] == [1.0, 0.1]
    assert bn.fit(net, xy, steps=1, progress=False).kl_weight == 1.0
    several = bn.fit(groups, xy, kl_weight=[1.0, 0.3], steps=1, progress=False)
    assert tuple(several.kl_weights) == (1.0, 0.3)


@pytest.mark.slow
@pytest.mark.parametrize("prior", ["horseshoe", "normal-jeffreys"])
def test_groups_go_and_the_digits_are_still_told(prior):
    """In the mean of five fits.

    Of thirteen with the horseshoe, the wider of the two, accuracy is .961 ± .008 and .21 ± .055 are
    left: the bounds are more than seven standard errors of the means away.
    """
    data = bn.data.load("digits", validation=0.2)
    model = bn.models.BayesianCompressionNet(bn.nn.mlp([64, 100, 50, 10]), prior=prior)
    left, accuracy = 0.0, 0.0
    for seed in range(5):
        post = bn.fit(model, data.train, epochs=100, seed=seed, progress=False)
        small = post.prune(by="group", validation=data.validation)
        left += sum(p.numel() for p in small.compact().parameters()) / 12_060 / 5
        accuracy += small.evaluate(data.test, draws=0)["accuracy"] / 5
    assert left < 0.4
    assert accuracy > 0.93


def test_a_fit_over_a_range_has_defaults_of_its_own(net, xy, monkeypatch):
    defaults = FitDefaults(kl_warmup=0.5, range_warmup=0.25, amortize="linear")
    monkeypatch.setattr(type(net), "fit_defaults", lambda self, examples: defaults)
    along = {"steps": 1, "progress": False, "kl_weight": bn.LogUniform(0.1, 10)}
    settings = bn.fit(net, xy, **along).settings
    assert (settings.kl_warmup, settings.amortization.map.kind) == (0.25, "linear")
    settings = bn.fit(net, xy, kl_warmup=0.0, amortize="low-rank", **along).settings
    assert (settings.kl_warmup, settings.amortization.map.kind) == (0.0, "low-rank")
    assert bn.fit(net, xy, steps=1, progress=False).settings.kl_warmup == 0.5


def test_gates_stay_open_where_the_data_need_them():
    """With a whole λ from the start all gates shut, and a third of 178 wines is told by chance."""
    x, y = (torch.as_tensor(part) for part in load_wine(return_X_y=True))
    x = ((x - x.mean(0)) / x.std(0)).float()
    model = bn.models.SpikeAndSlabNet(bn.nn.mlp([13, 20, 3]))
    post = bn.fit(model, (x, y), steps=1000, progress=False)
    assert post.evaluate((x, y), draws=0)["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("kl_weight", "said"),
    [
        ("auto", None),
        (0.3, "λ = 0.3, the likelihood to the power 3.33"),
        (0.1, "λ = 0.1, the likelihood to the power 10"),
        (0.0, "(λ = 0"),
        (1.0, None),
        ([0.1, 1.0], None),
    ],
)
def test_the_first_line_says_a_kl_weight_other_than_one(xy, caplog, kl_weight, said):
    groups = bn.models.BayesianCompressionNet(bn.nn.mlp([4, 6, 3]))
    with caplog.at_level("INFO", "bayesnas"):
        bn.fit(groups, xy, kl_weight=kl_weight, steps=1, progress=False)
    first = caplog.records[0].getMessage()
    assert first.startswith("BayesianCompressionNet")
    assert ("λ = " in first) == (said is not None)
    assert said is None or said in first
