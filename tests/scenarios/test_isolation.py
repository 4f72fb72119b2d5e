"""A fit leaves no trace in the process, and nothing in the process leaves one in a fit."""

from __future__ import annotations

import copy
import random
import threading
from contextlib import nullcontext

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

import bayesnas as bn

STEPS = 12


class HookError(Exception):
    pass


def fail_at(step):
    def hook(event):
        if event.step == step:
            raise HookError

    return hook


def everything_global():
    """What a fit could leave behind, as plain values."""
    store = pyro.get_param_store()
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": repr(np.random.get_state()),
        "python": random.getstate(),
        "settings": pyro.settings.get(),
        "torch validates": torch.distributions.Distribution._validate_args,
        "parameters": {n: (id(v), v.detach().tolist()) for n, v in store.named_parameters()},
        "constraints": {name: repr(c) for name, c in store._constraints.items()},
        "gradients": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
    }


@pytest.fixture
def unusual_globals():
    """Global states that a fit would be likely to overwrite with something usual."""
    pyro.clear_param_store()
    pyro.param("loc", torch.tensor([1.5, -2.0]))
    pyro.param("scale", torch.tensor(3.0), constraint=dist.constraints.positive)
    before = pyro.settings.get()
    with pyro.settings.context(validate_infer=False, validate_poutine=False):
        # Pyro's own flag and torch's disagree, as they do after torch's is set by hand.
        pyro.settings.set(validate_distributions_pyro=True, validate_distributions_torch=False)
        yield
    pyro.settings.set(**before)
    pyro.clear_param_store()


def pair():
    def model(x, y=None):
        weights = pyro.sample("w", dist.Normal(torch.zeros(4), 1.0).to_event(1))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Bernoulli(logits=x @ weights), obs=None if y is None else y % 2.0)

    def guide(x, y=None):
        loc = pyro.param("loc", lambda: torch.randn(4))  # the name of one in the global store
        pyro.sample("w", dist.Normal(loc, 0.1).to_event(1))

    return bn.models.PyroPair(model, guide)


class Registering(bn.models.GaussianNet):
    """A model of the user's that hands its network to the global store by name."""

    def model(self, x, y=None):
        pyro.module("mine", self.likelihood)
        pyro.param("left behind", torch.tensor(1.0))
        return super().model(x, y)


def registering():
    with torch.random.fork_rng():
        return Registering(bn.nn.mlp([4, 3]))


class Noisy(torch.nn.Linear):
    """A layer that draws whenever it is called, which looking at its output shape does too."""

    def forward(self, x):
        return super().forward(x) + torch.rand(3)


def noisy():
    with torch.random.fork_rng():
        return bn.models.GaussianNet(Noisy(4, 3))


USES = {
    "fit": (None, lambda net, xy, out: bn.fit(net, xy, steps=STEPS, batch_size=8, restarts=2)),
    "traced": (None, lambda net, xy, out: bn.fit(
        net, xy, steps=STEPS, batch_size=8, compile="trace"
    )),
    "fit with all": (None, lambda net, xy, out: bn.fit(
        net, xy, epochs=3, batch_size=8, validation=xy, patience=1, out=out, checkpoint_every=2,
        on_step=lambda event: None,
    )),
    "a user's pair": (None, lambda net, xy, out: bn.fit(pair(), xy, steps=STEPS)),
    "a model that registers itself": (None, lambda net, xy, out: bn.fit(
        registering(), xy, steps=STEPS
    )),
    "a net that draws": (None, lambda net, xy, out: bn.fit(noisy(), xy, steps=STEPS)),
    "a hook that raises": (HookError, lambda net, xy, out: bn.fit(
        net, xy, steps=STEPS, on_step=fail_at(3)
    )),
    "a loss that is not finite": (bn.inference.NonFiniteLossError, lambda net, xy, out: bn.fit(
        net, xy, steps=STEPS, lr=1e30, optimizer=torch.optim.SGD
    )),
    "labels out of range": (ValueError, lambda net, xy, out: bn.fit(
        net, (xy[0], xy[1] + 7), steps=STEPS
    )),
    "an output that is taken": (FileExistsError, lambda net, xy, out: [
        bn.fit(net, xy, steps=2, out=out) for _ in range(2)
    ]),
    "a pair that does not match": (ValueError, lambda net, xy, out: bn.fit(
        bn.models.PyroPair(pair().model_fn, lambda x, y: None), xy, steps=STEPS
    )),
}  # fmt: skip


@pytest.mark.parametrize("use", USES)
def test_global_state_is_as_before(net, xy, tmp_path, unusual_globals, use):
    error, act = USES[use]
    torch.manual_seed(5)
    before = everything_global()
    with pytest.raises(error) if error else nullcontext():
        act(net, xy, tmp_path / "run")
    assert everything_global() == before


def test_reading_a_posterior_leaves_no_trace(net, xy, tmp_path, unusual_globals):
    post = bn.fit(net, xy, steps=STEPS)
    before = everything_global()
    post.evaluate(xy, draws=3)
    post.predict(xy[0], draws=3)
    post.sample(3)
    post.save(tmp_path / "run")
    bn.load(tmp_path / "run").prune(fraction=0.5).evaluate(xy)
    assert everything_global() == before


def test_users_model_and_data_are_unchanged(net, xy, numbers):
    net.train()
    x = xy[0].clone().requires_grad_()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    post = bn.fit(net, (x, xy[1]), steps=STEPS, lr=0.1)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(module.training for module in net.modules())
    assert x.grad is None
    assert torch.equal(x, xy[0])
    mine = {id(tensor) for tensor in net.state_dict(keep_vars=True).values()}
    assert mine.isdisjoint(id(t) for t in post.model.state_dict(keep_vars=True).values())
    # Nor does the posterior change with the user's model or data.
    expected = numbers(post)
    with torch.no_grad():
        x.fill_(0.0)
        net.variational.assign("layer1.bias.loc", torch.full((6,), 9.0))
    net.likelihood = None
    assert numbers(post.to("cpu")) == expected
    assert post.run.model.likelihood is not None
    assert bool(post.example[0].any())


_ALONE = {}


@pytest.fixture
def alone(net, xy, numbers):
    """Fits of several kinds, and the numbers of each run by itself, once for all tests."""
    fits = {
        "net": lambda **more: bn.fit(net, xy, steps=STEPS, batch_size=8, lr=0.05, seed=1, **more),
        "same": lambda **more: bn.fit(net, xy, steps=STEPS, batch_size=8, lr=0.05, seed=1, **more),
        "traced": lambda **more: bn.fit(net, xy, steps=STEPS, seed=1, compile="trace", **more),
        "pair": lambda **more: bn.fit(pair(), xy, steps=STEPS, batch_size=5, seed=1, **more),
        "validated": lambda **more: bn.fit(
            net, xy, epochs=3, batch_size=9, lr=0.1, validation=xy, restarts=2, seed=2, **more
        ),
    }
    if not _ALONE:
        _ALONE.update({name: numbers(fit()) for name, fit in fits.items()})
    return fits, _ALONE


@pytest.mark.slow_except("net-validated", "traced-pair")
@pytest.mark.parametrize("inner", ["net", "same", "traced", "pair", "validated"])
@pytest.mark.parametrize("outer", ["net", "traced", "pair"])
def test_interleaved_fits_equal_the_same_alone(alone, xy, numbers, outer, inner):
    fits, expected = alone
    posts = []

    def hook(event):
        torch.rand(3)  # a user who draws meanwhile
        if event.step in (1, 7):
            posts.append(fits[inner]())
            posts[-1].evaluate(xy, draws=2)

    assert numbers(fits[outer](on_step=hook)) == expected[outer]
    assert [numbers(post) for post in posts] == [expected[inner]] * 2


def test_fits_that_take_turns_equal_the_same_alone(alone, numbers):
    """Two fits whose steps alternate, in two threads that hand the turn to each other."""
    fits, expected = alone
    turns = threading.Semaphore(1), threading.Semaphore(0)
    by_name, done = {}, [False, False]

    def run(which, name):
        def hook(event):
            turns[1 - which].release()
            while not turns[which].acquire(timeout=10):
                assert done[1 - which]  # the other fit has ended: nobody hands the turn on

        turns[which].acquire()
        by_name[name] = numbers(fits[name](on_step=hook))
        done[which] = True
        for _ in range(2 * STEPS):
            turns[1 - which].release()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(("net", "pair"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert by_name == {name: expected[name] for name in ("net", "pair")}


def test_fits_in_threads_equal_the_same_alone(alone, numbers):
    fits, expected = alone
    by_name = {}

    def run(name):
        by_name[name] = numbers(fits[name]())

    threads = [threading.Thread(target=run, args=(name,)) for name in fits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert by_name == expected


def test_numbers_do_not_depend_on_what_was_drawn_before(net, xy, numbers):
    first = numbers(bn.fit(net, xy, steps=STEPS, batch_size=8))
    torch.manual_seed(99)
    torch.rand(7)
    other_build = bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale=0.5)
    with pyro.settings.context(validate_infer=False):
        again = bn.fit(other_build, xy, steps=STEPS, batch_size=8)
    assert numbers(again) == first


def test_a_copied_model_is_the_same_model(net, xy, numbers):
    first = numbers(bn.fit(net, xy, steps=STEPS))
    assert numbers(bn.fit(copy.deepcopy(net), xy, steps=STEPS)) == first
