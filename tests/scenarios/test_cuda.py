"""Fits on a GPU: resumed exactly, read on a machine without one, leaving its random state alone."""

from __future__ import annotations

import functools

import pytest
import torch

import bayesnas as bn
from bayesnas.data import Split
from bayesnas.inference.config.settings import make_settings
from bayesnas.inference.training.loop import Loop

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

FIT = {"steps": 12, "batch_size": 8, "lr": 0.05, "device": "cuda"}
OPTIMISERS = [torch.optim.Adam, functools.partial(torch.optim.Adam, fused=False), torch.optim.AdamW]


@pytest.mark.parametrize("optimizer", OPTIMISERS)
def test_resumed_fit_is_exact(net, xy, numbers, tmp_path, optimizer):
    def stop(event):
        if event.step == 7:
            raise InterruptedError

    options = FIT | {"optimizer": optimizer, "restarts": 2}
    with pytest.raises(InterruptedError):
        bn.fit(net, xy, out=tmp_path / "run", checkpoint_every=5, on_step=stop, **options)
    post = bn.fit(net, xy, out=tmp_path / "run", checkpoint_every=5, resume=True, **options)
    assert numbers(post) == numbers(bn.fit(net, xy, **options))


def test_saved_run_is_read_on_the_cpu(net, xy, numbers, tmp_path):
    post = bn.fit(net, xy, out=tmp_path / "run", **FIT)
    loaded = bn.load(tmp_path / "run", device="cpu")
    assert numbers(loaded) == numbers(post)
    assert {value.device.type for value in loaded.model.state_dict().values()} == {"cpu"}
    # A finished run is returned wherever one is; its start can't be compared there.
    again = bn.fit(
        net, xy, out=tmp_path / "run", resume=True, **FIT | {"device": "cpu"},
    )  # fmt: skip
    assert numbers(again) == numbers(post)


def test_random_states_are_as_before(net, xy):
    before = torch.get_rng_state(), torch.cuda.get_rng_state()
    bn.fit(net, xy, validation=xy, **FIT).evaluate(xy)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(torch.cuda.get_rng_state(), before[1])


@pytest.mark.parametrize("kl_weight", [1.0, bn.LogUniform(0.1, 10.0)])
def test_a_graph_takes_the_recorded_steps(net, xy, numbers, caplog, kl_weight):
    """Over a range of λ the graphs of several pairs of knots take turns."""
    options = FIT | {"steps": 30, "kl_weight": kl_weight}
    recorded = bn.fit(net, xy, compile="trace", **options)
    captured = bn.fit(net, xy, compile="cudagraph", **options)
    assert not [record for record in caplog.records if record.name == "bayesnas"]
    losses = [torch.tensor(post.history()["loss"].values) for post in (recorded, captured)]
    assert torch.allclose(*losses, rtol=1e-5)


def test_a_fit_of_graphs_resumes_exactly(net, xy, numbers, tmp_path):
    def stop(event):
        if event.step == 7:
            raise InterruptedError

    options = FIT | {"compile": "cudagraph", "checkpoint_every": 5}
    with pytest.raises(InterruptedError):
        bn.fit(net, xy, out=tmp_path / "run", on_step=stop, **options)
    post = bn.fit(net, xy, out=tmp_path / "run", resume=True, **options)
    assert numbers(post) == numbers(bn.fit(net, xy, **options))


@pytest.mark.parametrize("compile", ["trace", "cudagraph"])
def test_batched_chains_have_the_numbers_that_they_have_alone(net, xy, compile, caplog):
    options = FIT | {"kl_weight": [0.1, 1.0], "restarts": 3, "steps": 30, "compile": compile}
    alone = bn.fit(net, xy, batched=False, **options)
    together = bn.fit(net, xy, **options)  # batched is the default here
    assert not [record for record in caplog.records if record.name == "bayesnas"]
    for chain, expected in zip(together.records(), alone.records(), strict=True):
        assert torch.allclose(chain.history, expected.history, rtol=1e-4)


def test_a_batched_fit_of_graphs_resumes_exactly(net, xy, numbers, tmp_path):
    def stop(event):
        if event.step == 7:
            raise InterruptedError

    options = FIT | {"compile": "cudagraph", "restarts": 3, "checkpoint_every": 5}
    with pytest.raises(InterruptedError):
        bn.fit(net, xy, out=tmp_path / "run", on_step=stop, **options)
    post = bn.fit(net, xy, out=tmp_path / "run", resume=True, **options)
    assert numbers(post) == numbers(bn.fit(net, xy, **options))


def test_no_step_waits_for_the_gpu(net, xy, monkeypatch):
    """torch raises where something would; taking up the first step, and reading losses, may."""
    training = Loop(
        net, Split.of(xy, task=net.task).to(torch.device("cuda")), None,
        make_settings(
            examples=len(xy[0]), kl_weight=1.0, kl_warmup=0.0, amortize=None, epochs=None,
            steps=40, batch_size=8, lr=0.05, schedule="cosine", clip=None, restarts=1,
            patience=None, seed=0, compile="cudagraph",
        ),
        torch.optim.Adam, "cosine", None, 500,
    ).chain(0)  # fmt: skip
    training.advance(10)
    monkeypatch.setattr(training, "_record", lambda *_: None)
    torch.cuda.set_sync_debug_mode("error")
    try:
        training.advance(30)
    finally:
        torch.cuda.set_sync_debug_mode("default")
