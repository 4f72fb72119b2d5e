"""What a fit takes where nothing is said."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_wine

import bayesnas as bn
from bayesnas.models.fit_defaults import FitDefaults
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
        lambda self, examples: FitDefaults(lr=0.5, batch_size=examples // 3, kl_warmup=0.5),
    )
    settings = bn.fit(net, xy, steps=1, progress=False).settings
    assert (settings.lr, settings.batch_size, settings.kl_warmup) == (0.5, 9, 0.5)
    options = {"lr": 0.1, "batch_size": 4, "kl_warmup": 0.0}
    settings = bn.fit(net, xy, steps=1, progress=False, **options).settings
    assert (settings.lr, settings.batch_size, settings.kl_warmup) == (0.1, 4, 0.0)


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
