"""Every model on a GPU that is not there: the CPU's numbers, nothing mixed, nothing waited for.

What only a GPU shows, its own kernels and graphs, is in ``test_cuda.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from fake_cuda import FakeCuda, OnGpu, fake_cuda
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import bayesnas as bn
from bayesnas.data import Inputs, Split
from bayesnas.inference.config.settings import make_settings
from bayesnas.inference.training.loop import Loop
from bayesnas.models import available
from bayesnas.typed import typed

N = 20


class Case(NamedTuple):
    """A model of the zoo, and a few rows that it takes."""

    model: Callable[[], bn.models.BayesianModel]
    x: Any
    y: Tensor


class Tagger(nn.Module):
    """Tokens with a mask, through an embedding, an LSTM and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.lstm = nn.Embedding(9, 8), nn.LSTM(8, 6, batch_first=True)
        self.attention, self.out = nn.MultiheadAttention(6, 2, batch_first=True), nn.Linear(6, 3)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        h = self.lstm(self.words(tokens))[0]
        h = self.attention(h, h, h, key_padding_mask=~mask)[0] * mask[..., None]
        logits: Tensor = self.out(h.sum(1) / mask.sum(1, keepdim=True))
        return logits


def mlp(outputs: int = 3) -> nn.Module:
    return bn.nn.mlp([4, 6, outputs])


def convolution() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(12, 1),
    )  # fmt: skip


def graph() -> bn.nn.Graph:
    torch.manual_seed(0)
    hidden = {"linear": nn.Linear(4, 6), "tanh": nn.Sequential(nn.Linear(4, 6), nn.Tanh())}
    edges = {("x", "h"): hidden, ("h", "y"): nn.Linear(6, 3), ("x", "y"): nn.Linear(4, 3)}
    return bn.nn.Graph(edges, example=torch.zeros(2, 4))


def line(x: Tensor, y: Tensor | None = None) -> None:
    w = pyro.sample("w", dist.Normal(x.new_zeros(4), 1.0).to_event(1))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(x @ w, 0.5), obs=y)


def line_guide(x: Tensor, y: Tensor | None = None) -> None:
    loc = pyro.param("loc", torch.zeros(4))
    scale = pyro.param("scale", lambda: torch.ones(4), constraint=dist.constraints.positive)
    pyro.sample("w", dist.Normal(loc, scale).to_event(1))


def cases() -> dict[str, Case]:
    models, generator = bn.models, torch.Generator().manual_seed(0)
    x = torch.randn(N, 4, generator=generator)
    y, labels, two = x[:, 0] - 2 * x[:, 1], torch.arange(N) % 3, torch.arange(N) % 2
    images = torch.randn(N, 1, 4, 4, generator=generator)
    pixels = torch.rand(N, 5, generator=generator)
    pictures = torch.rand(N, 1, 8, 4, generator=generator)
    tokens = Inputs({"tokens": torch.randint(1, 9, (N, 5)), "mask": torch.ones(N, 5).bool()})
    tokens.tensors["mask"][:, 3] = False
    of_labels: dict[str, Callable[[], bn.models.BayesianModel]] = {
        "gaussian-net": lambda: models.GaussianNet(mlp(), prior_scale="learned"),
        "gaussian-net, weights drawn": lambda: models.GaussianNet(mlp(), estimator="weight"),
        "gaussian-net, ordinal": lambda: models.GaussianNet(mlp(1), likelihood="ordinal"),
        "spike-and-slab-net": lambda: models.SpikeAndSlabNet(mlp()),
        "spike-and-slab-net, neurons": lambda: models.SpikeAndSlabNet(
            mlp(), "neurons", inclusion="learned", slab_scale="learned", estimator="weight"
        ),
        "supermask-net": lambda: models.SupermaskNet(mlp()),
        "supermask-net, edge-popup": lambda: models.SupermaskNet(
            mlp(), selection="edge-popup", weights="drawn", kept=0.3
        ),
        "bayesian-compression": lambda: models.BayesianCompressionNet(mlp()),
        "bayesian-compression, horseshoe": lambda: models.BayesianCompressionNet(
            mlp(), "horseshoe", global_scale=0.1, max_scale=0.5
        ),
        "latent-structure-net": lambda: models.LatentStructureNet(
            graph(), cost="parameters", cost_scale=30.0
        ),
        "latent-structure-net, logit-normal": lambda: models.LatentStructureNet(
            graph(), "logit-normal", estimator="weight", coupling="conjugate"
        ),
        "latent-structure-net, hard-concrete": lambda: models.LatentStructureNet(
            graph(), "hard-concrete", structure_prior="learned", prior_scale="ard"
        ),
        "latent-structure-net, points": lambda: models.LatentStructureNet(
            graph(), weights="point", cost="parameters"
        ),
    }
    of_numbers: dict[str, Callable[[], bn.models.BayesianModel]] = {
        "gaussian-net, gaussian": lambda: models.GaussianNet(mlp(1), likelihood="gaussian"),
        "gaussian-net, heteroscedastic": lambda: models.GaussianNet(
            mlp(2), likelihood="heteroscedastic"
        ),
        "ard-regression": lambda: models.ArdRegression(4),
        "ard-regression, posterior": lambda: models.ArdRegression(4, hyperparameters="posterior"),
        "spike-and-slab-regression": lambda: models.SpikeAndSlabRegression(4, inclusion=0.3),
        "spike-and-slab-regression, mean-field": lambda: models.SpikeAndSlabRegression(
            4, slab_scale="learned", noise_scale=0.3, guide="mean-field"
        ),
        "pyro-pair": lambda: models.PyroPair(line, line_guide),
    }
    of_itself: dict[str, Callable[[], bn.models.BayesianModel]] = {
        "ard-vae": lambda: models.ArdVae(5, latents=3, hidden=(6, 4), likelihood="gaussian"),
        "ard-vae, half-cauchy": lambda: models.ArdVae(
            5, 3, hidden=(4,), likelihood="gaussian", relevance_prior="half-cauchy"
        ),
        "ard-vae, gamma": lambda: models.ArdVae(
            5, 3, hidden=(4,), likelihood="gaussian", relevance_prior="gamma"
        ),
        "indian-buffet-vae": lambda: models.IndianBuffetVae(
            5, latents=4, mass=2.0, hidden=(6,), likelihood="gaussian"
        ),
        "indian-buffet-vae, mean-field": lambda: models.IndianBuffetVae(
            5, 4, 2.0, hidden=(6,), guide_structure="mean-field", binarize=True
        ),
        "latent-features": lambda: models.LatentFeatures(5, latents=3, feature_scale=None),
    }
    return {
        **{name: Case(make, x, labels) for name, make in of_labels.items()},
        **{name: Case(make, x, y) for name, make in of_numbers.items()},
        **{name: Case(make, pixels, pixels) for name, make in of_itself.items()},
        "gaussian-net, poisson": Case(
            lambda: models.GaussianNet(mlp(1), likelihood="poisson"), x, labels.float()
        ),
        "gaussian-net, negative binomial": Case(
            lambda: models.GaussianNet(mlp(1), likelihood="negative-binomial"), x, labels.float()
        ),
        "gaussian-net, convolution": Case(
            lambda: models.GaussianNet(convolution(), likelihood="bernoulli"), images, two
        ),
        "gaussian-net, tokens": Case(lambda: models.GaussianNet(Tagger()), tokens, labels),
        "bayesian-compression, log-uniform": Case(
            lambda: models.BayesianCompressionNet(
                convolution(), "log-uniform-truncated", likelihood="bernoulli"
            ),
            images,
            two,
        ),
        "spike-and-slab-regression, logistic": Case(
            lambda: models.SpikeAndSlabRegression(4, slab_scale=2.0, likelihood="bernoulli"),
            x,
            two.float(),
        ),
        "ard-vae, images": Case(
            lambda: models.ArdVae((1, 8, 4), latents=3, network="convolution"), pictures, pictures
        ),
    }  # fmt: skip


NAMES = list(cases())
FEW = ("gaussian-net",)


def test_the_cases_are_of_all_models_of_the_zoo():
    assert {name.partition(",")[0] for name in NAMES} == set(available())


@pytest.mark.slow_except(*FEW)
@pytest.mark.parametrize("name", NAMES)
def test_fit_and_all_that_reads_it_have_the_numbers_of_the_cpu(name, tmp_path):
    """Its steps, with gradients and optimiser, and what is asked of the posterior after them."""
    case = cases()[name]
    data = (case.x, case.y)
    options: dict[str, Any] = {"steps": 4, "batch_size": 8, "compile": False, "progress": False}
    if case.model().whole_sample:
        options["batch_size"] = N
    here = bn.fit(case.model(), data, device="cpu", **options)
    with fake_cuda():
        there = bn.fit(case.model(), data, device="cuda", out=tmp_path / "run", **options)
        assert {type(value) for value in there.model.state_dict().values()} == {OnGpu}
        same(here.history()["loss"].values, there.history()["loss"].values)
        same(asked(here, data), asked(there, data))
        rebuilt = case.model() if name == "pyro-pair" else None
        loaded = bn.load(tmp_path / "run", model=rebuilt, device="cpu")
        same(dict(loaded.model.state_dict()), dict(there.model.state_dict()))


def asked(post: bn.Posterior, data: tuple[Any, Tensor]) -> dict[str, Any]:
    """What a posterior says in every mode: evaluate, predict, sample, prune, export."""
    measured: dict[str, Any] = {
        "evaluate": post.evaluate(data, draws=2),
        "means": post.evaluate(data, draws=0),
        "predict": post.predict(data[0], draws=2),
        "sample": post.sample(draws=2),
        "weights": post.model.weight_posteriors(),
        "structure": post.structure(),
        "complexity": post.complexity(data, draws=2),
        "uncertainty": post.uncertainty(data[0], draws=2),
        "arviz": post.to_arviz(draws=2, data=data)["posterior"].to_dataset(),
    }
    if post.model.weight_posteriors():
        pruned = post.prune(fraction=0.5)
        measured["pruned"] = pruned.evaluate(data, draws=2)
        measured["kept"] = pruned.model.keep_masks()
    try:
        net = post.compact()
    except TypeError:  # of no network
        return measured
    x = data[0].to(post.device)
    measured["network"] = net(**x.tensors) if isinstance(x, Inputs) else net(x)
    return measured


def same(here: Any, there: Any) -> None:
    """The same numbers but for rounding, wherever they lie."""
    if isinstance(here, dict):
        assert here.keys() == there.keys()
        for name in here:
            same(here[name], there[name])
    elif isinstance(here, tuple):
        for each, other in zip(here, there, strict=True):
            same(each, other)
    elif isinstance(here, Tensor):
        same(here.detach().numpy(), there.detach().cpu().numpy())
    elif isinstance(here, (float, np.ndarray)):
        np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-5, equal_nan=True)
    else:
        assert here.keys() == there.keys()
        for name, variable in here.data_vars.items():
            same(variable.values.astype(float), there[name].values.astype(float))


WAYS: dict[str, dict[str, Any]] = {
    "a range of λ": {"kl_weight": bn.LogUniform(0.1, 10.0)},
    "a box": {
        "kl_weight": bn.LogUniform(0.1, 10.0),
        "metaparameters": {"prior_scale": bn.LogUniform(0.3, 3.0)},
    },
    "low rank": {"kl_weight": bn.LogUniform(0.1, 10.0), "amortize": "low-rank"},
    "several λ": {"kl_weight": [0.1, 1.0], "restarts": 2},
    "weights": {"sample_weight": torch.arange(N) / 9, "class_weight": "balanced"},
    "early stopping": {"patience": 1, "steps": 9},
    "another optimiser": {"optimizer": torch.optim.SGD, "clip": 0.5},
    "streamed": {},
}


@pytest.mark.slow_except("streamed")
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_fitting_has_the_numbers_of_the_cpu(way, tmp_path):
    case = cases()["gaussian-net"]
    part = Split.of((case.x, case.y), classes=3)
    data = bn.data.from_dataset((case.x, case.y)) if way == "streamed" else part
    options: dict[str, Any] = {"steps": 4, "batch_size": 8, "compile": False, "progress": False}
    options |= {"validation": part, "batched": False} | WAYS[way]
    model = bn.models.GaussianNet(mlp())
    here = bn.fit(model, data, device="cpu", **options)
    with fake_cuda():
        there = bn.fit(
            model, data, device="cuda", out=tmp_path / "run", checkpoint_every=2, **options
        )
        same(here.history()["loss"].values, there.history()["loss"].values)
        for chain, expected in zip(there.records(), here.records(), strict=True):
            same(expected.fitted, chain.fitted)
            assert chain.validation_nll == pytest.approx(expected.validation_nll, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["greedy", "unrolled", "implicit"])
def test_a_fit_of_two_levels_has_the_numbers_of_the_cpu(kind):
    case = cases()["latent-structure-net"]
    part = Split.of((case.x, case.y), classes=3)
    options: dict[str, Any] = {"steps": 4, "batch_size": 8, "compile": False, "progress": False}
    options |= {"validation": part, "bilevel": bn.Bilevel(kind, lr=0.1)}
    here = bn.fit(case.model(), part, device="cpu", **options)
    with fake_cuda():
        there = bn.fit(case.model(), part, device="cuda", **options)
        same(here.records()[0].fitted, there.records()[0].fitted)


# Steps ------------------------------------------------------------------------------------

CONSTANT = ("tensor(", "new_tensor(")
"""Numbers that a step copies over each time when it is taken eagerly; part of a traced one."""
FACTORISED = ("ard-regression", "spike-and-slab-regression")
"""Models whose steps factorise a matrix, of which torch asks whether it could be."""


@pytest.mark.slow_except("gaussian-net", "supermask-net")
@pytest.mark.parametrize("name", NAMES)
def test_no_step_waits_for_the_gpu(name, monkeypatch):
    """Taking up the first steps, the order of an epoch, and reading losses, may."""
    case = cases()[name]
    with fake_cuda() as mode:
        model = case.model()
        data = Split.of((case.x, case.y), task=model.task)
        model.size_for(data.info.classes)
        batch = N if model.whole_sample else 8
        training = Loop(
            model, data.to("cuda"), None,
            make_settings(
                examples=N, kl_weight=1.0, kl_warmup=0.0, amortize=None, epochs=None, steps=40,
                batch_size=batch, lr=0.05, schedule="cosine", clip=None, restarts=1,
                patience=None, seed=0, compile=False,
            ),
            torch.optim.Adam, "cosine", None, 500,
        ).chain(0)  # fmt: skip
        training.advance(3)
        monkeypatch.setattr(training, "_record", lambda *_: None)
        mode.waits.clear()
        training.advance(3)
    waits = {what for what in mode.waits if not what.startswith(CONSTANT)}
    if name.startswith(FACTORISED):
        waits = {what for what in waits if "_linalg_check_errors" not in what}
    assert not waits


# The GPU that is not there ----------------------------------------------------------------

MIXED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "sum": lambda gpu, cpu: gpu + cpu,
    "number": lambda gpu, cpu: gpu + cpu.sum(),
    "in place": lambda gpu, cpu: gpu.mul_(cpu),
    "copy": lambda gpu, cpu: gpu.copy_(cpu),
    "product": lambda gpu, cpu: gpu @ cpu,
    "stack": lambda gpu, cpu: torch.stack([gpu, cpu]),
    "where": lambda gpu, cpu: torch.where(gpu > 0, gpu, cpu),
    "where a number": lambda gpu, cpu: torch.where(gpu > 0, gpu, cpu.sum()),
    "linear": lambda gpu, cpu: nn.functional.linear(gpu, cpu),
    "index": lambda gpu, cpu: gpu[torch.tensor([0, 1])],
    "new": lambda gpu, cpu: gpu + torch.zeros(3),
    "new, there": lambda gpu, cpu: gpu + torch.zeros(3, device=gpu.device),
    "alike": lambda gpu, cpu: gpu + torch.zeros_like(gpu),
    "brought": lambda gpu, cpu: gpu + cpu.to(gpu.device),
    "brought to it": lambda gpu, cpu: gpu + cpu.to(gpu),
    "taken back": lambda gpu, cpu: gpu.cpu() + cpu,
}


@pytest.mark.parametrize("name", MIXED)
def test_it_refuses_what_torch_refuses(name):
    """``FakeTensorMode`` has the rules of torch's GPU."""

    def refuses() -> bool:
        gpu, cpu = torch.ones(3, 3, device="cuda"), torch.ones(3, 3)
        try:
            MIXED[name](gpu, cpu)
        except (RuntimeError, IndexError):
            return True
        return False

    with FakeTensorMode():
        expected = refuses()
    with fake_cuda():
        assert refuses() == expected


def test_it_refuses_what_a_gpu_refuses_and_torchs_fakes_do_not():
    with fake_cuda():
        gpu, cpu = torch.ones(3, 3, device="cuda"), torch.ones(3, 3)
        with pytest.raises(RuntimeError, match=r"stack.*same device, got one of shape \[\]"):
            torch.stack([gpu.sum(), cpu.sum()])
        with pytest.raises(RuntimeError, match="index.*same device"):
            cpu[gpu.long()]
        with pytest.raises((TypeError, RuntimeError)):
            np.asarray(gpu)


WAITING: dict[str, Callable[[Tensor], Any]] = {
    "a number": lambda gpu: gpu.sum().item(),
    "a truth": lambda gpu: bool((gpu > 0).all()),
    "a list": lambda gpu: gpu.tolist(),
    "to the CPU": lambda gpu: gpu.cpu(),
    "from the CPU": lambda gpu: torch.ones(3).to(gpu.device),
    "a new one": lambda gpu: torch.tensor([1.0, 2.0], device=gpu.device),
    "a mask": lambda gpu: gpu[gpu > 0],
    "places": lambda gpu: gpu.nonzero(),
}
NOT_WAITING: dict[str, Callable[[Tensor], Any]] = {
    "made there": lambda gpu: torch.zeros(3, device=gpu.device) + gpu.new_ones(3),
    "pinned": lambda gpu: torch.ones(3).pin_memory().to(gpu.device, non_blocking=True),
    "filled": lambda gpu: gpu.masked_fill_(gpu > 0, 1.0),
    "shape": lambda gpu: gpu.sum(0).shape,
}


def test_a_check_of_types_made_inside_still_holds_outside():
    @typed()
    def seeded(generator: torch.Generator | None = None) -> bool:
        return generator is not None

    with fake_cuda():
        assert seeded(generator=torch.Generator("cuda"))
    assert seeded(generator=torch.Generator())
    with pytest.raises(TypeError, match="generator must be a"):
        seeded(generator=3)


@pytest.mark.parametrize("name", [*WAITING, *NOT_WAITING])
def test_it_notes_what_waits(name):
    with fake_cuda() as mode:
        gpu = torch.ones(3, 3, device="cuda")
        assert isinstance(mode, FakeCuda)
        mode.waits.clear()
        (WAITING | NOT_WAITING)[name](gpu)
        assert bool(mode.waits) == (name in WAITING)
