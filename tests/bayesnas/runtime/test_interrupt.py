"""Ctrl-C during a fit: nothing is lost, and nothing is half done."""

from __future__ import annotations

import json
import os
import signal

import pytest

import bayesnas as bn
from bayesnas.runtime.interrupt import DeferredInterrupt

INTERRUPTED = 2  # exit status of a process that ends by KeyboardInterrupt

FIT = {"steps": 20, "batch_size": 8, "lr": 0.05}


def interrupt_at(*steps, chain=0):
    def hook(event):
        if event.chain == chain and event.step in steps:
            os.kill(os.getpid(), signal.SIGINT)

    return hook


@pytest.mark.slow_except("plain")
@pytest.mark.parametrize("name", ["plain", "restarts", "regression"])
def test_process_stops_with_a_checkpoint_and_goes_on_exactly(fit_processes, tmp_path, name):
    expected = fit_processes.finish(name, tmp_path / "unbroken")
    out = tmp_path / "run"
    kill = {"step": 7, "signal": int(signal.SIGINT)}  # between two checkpoints of the interval
    assert fit_processes(name, out, kill)["status"] == INTERRUPTED
    assert (out / "checkpoint.safetensors").exists()
    assert json.loads((out / "run.json").read_text())["status"] == "running"
    assert fit_processes.finish(name, out) == expected


def test_without_a_folder_the_posterior_is_returned_as_it_stands(net, xy, numbers):
    whole = bn.fit(net, xy, **FIT)
    with pytest.warns(RuntimeWarning, match="interrupted at step 13 of 20 of chain 0"):
        post = bn.fit(net, xy, on_step=interrupt_at(13), **FIT)
    assert post.history().loss.values.tobytes() == whole.history().loss.values[:, :13].tobytes()
    taken = []
    bn.fit(
        net, xy, on_step=lambda e: taken.append(_values(e.model)) if e.step == 13 else None, **FIT
    )
    assert _values(post.model) == taken[0]


def _values(model):
    return {name: value.tolist() for name, value in model.named_parameters()}


def test_without_a_folder_finished_chains_are_kept(net, xy, numbers):
    whole = bn.fit(net, xy, restarts=3, **FIT)
    with pytest.warns(RuntimeWarning, match="step 4 of 20 of chain 1"):
        post = bn.fit(net, xy, restarts=3, on_step=interrupt_at(4, chain=1), **FIT)
    assert post.chains == 2
    assert numbers(post.chain(0)) == numbers(whole.chain(0))


@pytest.mark.parametrize(("chain", "step"), [(0, 1), (0, 20), (1, 1), (1, 19)])
def test_with_a_folder_the_checkpoint_is_of_the_very_step(net, xy, numbers, tmp_path, chain, step):
    whole = numbers(bn.fit(net, xy, restarts=2, **FIT))
    hook = interrupt_at(step, chain=chain)
    with pytest.raises(KeyboardInterrupt, match=f"step {step} of 20 of chain {chain}"):
        bn.fit(net, xy, restarts=2, out=tmp_path / "run", on_step=hook, **FIT)
    seen = []
    post = bn.fit(
        net, xy, restarts=2, out=tmp_path / "run", resume=True, **FIT,
        on_step=lambda event: seen.append((event.chain, event.step)),
    )  # fmt: skip
    every = [(c, s) for c in range(2) for s in range(1, 21)]
    assert seen == every[every.index((chain, step)) + 1 :]
    assert numbers(post) == whole


def test_after_the_last_step_there_is_nothing_to_stop(net, xy, numbers, tmp_path):
    post = bn.fit(net, xy, out=tmp_path / "run", on_step=interrupt_at(20), **FIT)
    assert numbers(post) == numbers(bn.fit(net, xy, **FIT))
    assert numbers(bn.load(tmp_path / "run")) == numbers(post)


def test_second_interrupt_is_not_held_back(net, xy):
    def hook(event):
        if event.step == 5:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("the second interrupt did not arrive")

    with pytest.raises(KeyboardInterrupt):
        bn.fit(net, xy, on_step=hook, **FIT)


def test_interrupt_in_an_inner_fit_stops_the_outer_one_too(net, xy):
    def hook(event):
        if event.step == 3:
            with pytest.warns(RuntimeWarning, match="step 2 of 20"):
                bn.fit(net, xy, on_step=interrupt_at(2), **FIT)

    with pytest.warns(RuntimeWarning, match="step 3 of 20"):
        post = bn.fit(net, xy, on_step=hook, **FIT)
    assert post.history().sizes["step"] == 3


@pytest.mark.parametrize("before", [signal.SIG_IGN, signal.SIG_DFL, signal.default_int_handler])
def test_handler_is_given_back(before):
    previous = signal.signal(signal.SIGINT, before)
    try:
        with pytest.raises(ZeroDivisionError), DeferredInterrupt():
            raise ZeroDivisionError
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, previous)


def test_full_disk_at_the_interrupt_is_told(net, xy, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    def hook(event):
        if event.step == 5:
            monkeypatch.setattr(os, "fsync", full)
            os.kill(os.getpid(), signal.SIGINT)

    with (
        pytest.warns(RuntimeWarning, match="No space left"),
        pytest.raises(KeyboardInterrupt, match="could not be written"),
    ):
        bn.fit(net, xy, out=tmp_path / "run", on_step=hook, **FIT)
