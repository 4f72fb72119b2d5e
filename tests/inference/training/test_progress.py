"""The progress bar: there on a terminal, silent elsewhere, without a say in the numbers."""

from __future__ import annotations

import io
import sys

import pyro
import pyro.distributions as dist
import pytest
import torch

import bayesnas as bn

FIT = {"steps": 12, "batch_size": 8, "lr": 0.05}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """What stderr is during the test's own part; pytest puts its own in before that."""
    screen = Terminal()
    return lambda: monkeypatch.setattr(sys, "stderr", screen) or screen


def test_shows_steps_loss_and_accuracy(net, xy, numbers, terminal):
    screen = terminal()
    expected = numbers(bn.fit(net, xy, progress=False, **FIT))
    assert screen.getvalue() == ""
    for hook in (None, lambda event: None):
        post = bn.fit(net, xy, restarts=2, on_step=hook, **FIT)
        shown = screen.getvalue()
        assert "GaussianNet 4–6–3" in shown
        assert "24/24" in shown
        assert "loss=" in shown
        assert "accuracy=0." in shown
        assert numbers(post.chain(0)) == expected


def test_regression_has_no_accuracy(xy, terminal):
    screen = terminal()
    model = bn.models.GaussianNet(bn.nn.mlp([4, 1]), likelihood="gaussian")
    bn.fit(model, (xy[0], xy[0].sum(1)), **FIT)
    assert "loss=" in screen.getvalue()
    assert "accuracy" not in screen.getvalue()


@pytest.mark.parametrize("prior", [dist.Normal(0.0, 1.0), dist.Cauchy(0.0, 1.0)])
def test_pair_that_shows_no_predictions_trains_all_the_same(xy, terminal, prior):
    def model(x, y=None):
        w = pyro.sample("w", prior)
        with pyro.plate("data", len(x)):
            observed = None if y is None else (y == 0).float()
            pyro.sample("label", dist.Bernoulli(logits=w * x[:, 0]), obs=observed)

    def guide(x, y=None):
        loc = pyro.param("loc", torch.tensor(0.0))
        pyro.sample("w", type(prior)(loc, 0.1))

    screen = terminal()
    bn.fit(bn.models.PyroPair(model, guide), xy, **FIT)
    assert "12/12" in screen.getvalue()


def test_resumed_fit_begins_where_it_stands(net, xy, tmp_path, terminal):
    def stop(event):
        if event.step == 9:
            raise InterruptedError

    options = FIT | {"out": tmp_path / "run", "checkpoint_every": 6}
    with pytest.raises(InterruptedError):
        bn.fit(net, xy, on_step=stop, **options)
    screen = terminal()
    bn.fit(net, xy, resume=True, **options)
    assert "6/12" in screen.getvalue()
    assert "0/12" not in screen.getvalue()


def test_silent_where_there_is_no_terminal(net, xy, capsys):
    bn.fit(net, xy, **FIT)
    assert capsys.readouterr() == ("", "")
