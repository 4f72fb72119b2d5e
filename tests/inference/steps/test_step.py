"""The traced training step against the eager one, and when it stays eager."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from pyro_programs import line, line_guide
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.inference.compile.trace import trace_step
from bayesnas.inference.config.settings import make_settings
from bayesnas.inference.optim.adam import AdamScalars, adam_update
from bayesnas.inference.optim.flat_parameters import flatten_parameters
from bayesnas.inference.optim.step_tensors import StepInputs


def classes_data(n: int = 50) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
    return x, x[:, :3].argmax(1)


def plain_net() -> nn.Module:
    return bn.nn.mlp([4, 6, 3])


def normalised_net() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 3)
    )


def fit(compile: str | bool, net: nn.Module, **options: object) -> bn.Posterior:
    chosen: dict[str, object] = {"steps": 25, "batch_size": 20, "lr": 0.02, "seed": 1}
    estimator = str(options.pop("estimator", "local"))
    model = bn.models.GaussianNet(net, estimator=estimator, prior_scale="learned")
    return bn.fit(model, classes_data(), compile=compile, progress=False, **{**chosen, **options})  # type: ignore[arg-type]


@pytest.mark.slow_except(
    "options1-normalised_net-local", "options2-plain_net-weight", "options3-normalised_net-local"
)
@pytest.mark.parametrize("estimator", ["local", "weight"])
@pytest.mark.parametrize("make_net", [plain_net, normalised_net])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"clip": 1e-3},
        {"optimizer": functools.partial(torch.optim.SGD, momentum=0.9)},
        {"kl_weight": 0.0},
    ],
)
def test_a_traced_fit_equals_the_eager_one(
    estimator: str, make_net: object, options: dict[str, object]
) -> None:
    """25 steps, partial batches among them: the same losses and parameters to rounding."""
    eager = fit(False, make_net(), estimator=estimator, **options)  # type: ignore[operator]
    traced = fit("trace", make_net(), estimator=estimator, **options)  # type: ignore[operator]
    assert traced.settings.compile == "trace"
    losses = [post.history()["loss"].values for post in (eager, traced)]
    assert np.allclose(losses[0], losses[1], rtol=1e-5)
    if options.get("kl_weight") == 0.0:
        return  # a bias before a normalisation has no gradient but rounding, which Adam scales up
    for name, value in eager.model.state_dict().items():
        same = traced.model.state_dict()[name]
        assert torch.allclose(value.double(), same.double(), rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize(("steps", "sizes"), [(1_197, {20}), (1_200, {20, 10})])
def test_smaller_last_batches_are_recorded_where_they_come_often(
    steps: int, sizes: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """50 examples in batches of 20, 20 and 10; 400 epochs are 1,200 steps."""

    class StoppedError(Exception):
        pass

    def losses(compile: str | bool) -> list[float]:
        seen: list[float] = []

        def look(event: bn.inference.StepEvent) -> None:
            seen.append(event.loss)
            if len(seen) == 7:
                raise StoppedError

        with pytest.raises(StoppedError):
            fit(compile, plain_net(), steps=steps, on_step=look)
        return seen

    recorded: set[int] = set()

    def noticed(function: Callable[[StepInputs], Tensor], inputs: StepInputs) -> object:
        recorded.add(len(inputs.x))
        return trace_step(function, inputs)

    monkeypatch.setattr("bayesnas.inference.steps.traced_step.trace_step", noticed)
    traced = losses("trace")
    assert recorded == sizes
    assert np.allclose(traced, losses(False), rtol=1e-5)


@pytest.mark.slow
def test_a_compiled_fit_follows_the_eager_one(caplog: pytest.LogCaptureFixture) -> None:
    """Also where the compiler takes the layers in another order than the eager run."""
    x = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(40) % 3
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)
    )
    losses = []
    for compile in (False, "inductor"):
        model = bn.models.GaussianNet(net)
        post = bn.fit(model, (x, y), steps=8, batch_size=20, compile=compile, progress=False)
        losses.append(post.history()["loss"].values)
    assert not [record for record in caplog.records if record.name == "bayesnas"]
    assert np.allclose(losses[0], losses[1], rtol=1e-5)


def test_a_traced_fit_resumes_to_the_same_numbers(tmp_path: object) -> None:
    whole = fit("trace", normalised_net())

    class StoppedError(Exception):
        pass

    def stop(event: bn.inference.StepEvent) -> None:
        if event.step == 13:
            raise StoppedError

    with pytest.raises(StoppedError):
        fit("trace", normalised_net(), out=tmp_path, on_step=stop, checkpoint_every=5)
    resumed = fit("trace", normalised_net(), out=tmp_path, resume=True, checkpoint_every=5)
    assert resumed.history().equals(whole.history())
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def line_data() -> tuple[Tensor, Tensor]:
    x = torch.linspace(-1, 1, 30)
    return x, 1.5 * x


def test_a_pair_of_the_users_is_traced(caplog: pytest.LogCaptureFixture) -> None:
    pair = bn.models.PyroPair(line, line_guide)
    eager = bn.fit(pair, line_data(), steps=20, compile=False, progress=False)
    traced = bn.fit(pair, line_data(), steps=20, compile="trace", progress=False)
    assert not caplog.records
    assert np.allclose(eager.history()["loss"], traced.history()["loss"], rtol=1e-5)


def test_a_model_that_looks_at_values_stays_eager_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def branching(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        noise = 0.5 if w > 0 else 1.0
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(w * x, noise), obs=y)

    pair = bn.models.PyroPair(branching, line_guide)
    with caplog.at_level(logging.WARNING, logger="bayesnas"):
        traced = bn.fit(pair, line_data(), steps=20, compile="trace", progress=False)
    assert [r.name for r in caplog.records] == ["bayesnas"]
    assert "eager mode" in caplog.text
    eager = bn.fit(pair, line_data(), steps=20, compile=False, progress=False)
    assert eager.history().equals(traced.history())


def test_an_elbo_of_pyros_stays_eager(caplog: pytest.LogCaptureFixture) -> None:
    pair = bn.models.PyroPair(line, line_guide, elbo=Trace_ELBO())
    with caplog.at_level(logging.WARNING, logger="bayesnas"):
        post = bn.fit(pair, line_data(), steps=5, compile="trace", progress=False)
    assert len(caplog.records) == 1
    assert np.isfinite(post.history()["loss"]).all()


def test_the_adam_update_is_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    theirs = nn.Parameter(torch.randn(5, generator=generator))
    ours, first, second = theirs.detach().clone(), torch.zeros(5), torch.zeros(5)
    optimizer = torch.optim.Adam([theirs], lr=0.1)
    for step in range(1, 8):
        gradient = torch.randn(5, generator=generator)
        theirs.grad = gradient.clone()
        optimizer.step()
        numbers = 0.1 / (1 - 0.9**step), math.sqrt(1 - 0.999**step), 0.1, 0.001
        scalars = AdamScalars(*(torch.tensor(number) for number in numbers))
        adam_update(ours, gradient, first, second, scalars)
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_flat_parameters_are_views_of_one_tensor_a_type() -> None:
    singles = nn.Linear(2, 3)
    double = nn.Parameter(torch.zeros(4, dtype=torch.float64))
    flats = flatten_parameters([singles.weight, double, singles.bias])
    assert [indices for indices, _ in flats] == [[0, 2], [1]]
    flats[0][1].values.data.fill_(2.0)
    assert torch.equal(singles.weight, torch.full((3, 2), 2.0))
    (singles.weight.sum() + 3 * singles.bias.sum()).backward()
    assert torch.equal(flats[0][1].gradient, torch.tensor([1.0] * 6 + [3.0] * 3))


@pytest.mark.parametrize(
    ("compile", "steps", "restarts", "mode"),
    [
        ("auto", 100, 1, "eager"),
        ("auto", 2_000, 1, "trace"),
        ("auto", 500, 4, "trace"),
        ("auto", 20_000, 1, "inductor"),
        (False, 20_000, 1, "eager"),
        ("inductor", 1, 1, "inductor"),
    ],
)
def test_auto_decides_by_the_number_of_steps_where_nothing_is_timed(
    compile: str | bool, steps: int, restarts: int, mode: str
) -> None:
    settings = functools.partial(
        make_settings,
        examples=10, kl_weight=1.0, kl_warmup=0.0, amortize=None, epochs=None, steps=steps,
        batch_size=5, lr=0.1, schedule="cosine", clip=None, restarts=restarts, patience=None,
        seed=0, compile=compile,
    )  # fmt: skip
    assert settings().compile == mode
    by_trial = compile == "auto" and mode != "eager"
    assert settings(timed=True).compile == ("auto" if by_trial else mode)


@pytest.mark.parametrize("compile", ["jit", True, None])
def test_an_unknown_mode_is_named(compile: object) -> None:
    with pytest.raises(ValueError, match="compile must be 'auto', 'trace', .* or False, got"):
        fit(compile, plain_net())  # type: ignore[arg-type]
