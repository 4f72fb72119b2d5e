"""Fits on a GPU: resumed exactly, read on a machine without one, leaving its random state alone."""

from __future__ import annotations

import functools

import pytest
import torch

import bayesnas as bn

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
