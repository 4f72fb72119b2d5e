"""Bilevel fits: hypergradients of models of the zoo, what a fit finds, resumption, errors."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.inference import Implicit, Unrolled, hypergradient
from bayesnas.inference.bilevel.losses import upper_parameters
from bayesnas.inference.compile.trace import trace_step
from bayesnas.inference.steps import bilevel_step as upper_step
from bayesnas.models.base import BayesianModel

SGD = functools.partial(torch.optim.SGD, momentum=0.9, weight_decay=3e-4)


def lines(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=generator)
    return x, x[:, 0] + 0.5 * x[:, 1] + torch.randn(n, generator=generator)


def classes(n: int = 24, seed: int = 0) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
    return x, x[:, :3].argmax(1)


def mixed(**options: object) -> bn.models.LatentStructureNet:
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Linear(4, 40), nn.Tanh(), nn.Linear(40, 3))
    narrow = nn.Sequential(nn.Linear(4, 1), nn.Linear(1, 3))
    graph = bn.nn.Graph(
        {("x", "h"): {"wide": wide, "narrow": narrow}, ("h", "y"): nn.Linear(3, 3)},
        example=torch.zeros(1, 4),
    )
    chosen = {"weights": "point", "cost": "parameters", "cost_scale": 1.0, **options}
    return bn.models.LatentStructureNet(graph, **chosen)  # type: ignore[arg-type]


def quick(model: bn.models.LatentStructureNet, **options: object):
    chosen = {
        "validation": classes(24, seed=1), "bilevel": bn.Bilevel(lr=0.05), "steps": 12,
        "batch_size": 8, "lr": 0.05, "progress": False, "device": "cpu", **options,
    }  # fmt: skip
    return bn.fit(model, classes(), **chosen)  # type: ignore[arg-type]


# Hypergradients of models ------------------------------------------------------------------


class Ridge(BayesianModel):
    """W ~ N(0, s²), y ~ N(xw, 1), a point for w: ridge regression, whose hypergradient is known."""

    upper_level = ("log_scale",)

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-0.5))
        self.weight = nn.Parameter(torch.zeros(3))

    def model(self, x: Tensor, y: Tensor | None = None) -> None:
        prior = dist.Normal(torch.zeros(3), self.log_scale.exp()).to_event(1)
        weight = pyro.sample("w", prior)
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(x @ weight, 1.0), obs=y)

    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        pyro.sample("w", dist.Delta(self.weight, event_dim=1))

    def solve(self, x: Tensor, y: Tensor, kl_weight: float = 1.0) -> None:
        strength = kl_weight * (-2 * self.log_scale.detach()).exp()
        self.weight.data = torch.linalg.solve(x.T @ x + strength * torch.eye(3), x.T @ y)

    def exact(self, train: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor]) -> float:
        """d/d ln s of ½‖y' − x'w*(s)‖²/M, double precision."""
        (x, y), (x_, y_) = ([v.double() for v in part] for part in (train, held_out))
        log_scale = self.log_scale.detach().double().requires_grad_()
        precision = x.T @ x + (-2 * log_scale).exp() * torch.eye(3, dtype=torch.float64)
        weight = torch.linalg.solve(precision, x.T @ y)
        loss = 0.5 * (y_ - x_ @ weight).square().mean()
        return float(torch.autograd.grad(loss, log_scale)[0])


def test_hypergradients_of_a_pyro_model_are_the_closed_form_of_ridge_regression():
    train, held_out = lines(10), lines(25, seed=1)
    model = Ridge()
    model.solve(*train)
    expected = model.exact(train, held_out)
    assert abs(expected) > 1e-3
    for kind, tolerance in (
        (Implicit("cg", 3), 1e-4),
        (Implicit("neumann", 200, lr=0.3), 1e-4),
        (Unrolled(200, lr=0.3), 1e-4),
    ):
        gradients = hypergradient(model, train, held_out, kind, upper_kl_weight=0.0)
        assert float(gradients["log_scale"]) == pytest.approx(expected, rel=tolerance)
    greedy = hypergradient(model, train, held_out, "greedy", upper_kl_weight=0.0)
    assert float(greedy["log_scale"]) == 0.0


def test_the_prior_scale_of_ard_by_validation_likelihood_is_the_closed_form():
    """The guide is prior times data factor, whose optimum does not depend on h: all kinds agree."""
    train, held_out = lines(30), lines(25, seed=1)
    post = bn.fit(
        bn.models.ArdRegression(3, noise_scale=1.0, intercept=False), train,
        steps=300, lr=0.1, progress=False, device="cpu",
    )  # fmt: skip
    (x, y), (x_, y_) = ([v.double() for v in part] for part in (train, held_out))
    log_scale = post.model.log_prior_scale.detach().double().requires_grad_()
    covariance = torch.linalg.inv(x.T @ x + torch.diag((-2 * log_scale).exp()))
    squares = (y_ - x_ @ covariance @ x.T @ y).square() + ((x_ @ covariance) * x_).sum(1)
    (expected,) = torch.autograd.grad(0.5 * squares.mean(), log_scale)
    for kind in ("greedy", "unrolled", "implicit"):
        gradients = hypergradient(post.model, train, held_out, kind, upper_kl_weight=0.0)
        values = gradients["log_prior_scale"].tolist()
        assert values == pytest.approx(expected.tolist(), rel=0.02, abs=1e-4)


def test_the_prior_scale_of_a_net_has_a_hypergradient_by_validation_likelihood():
    model = bn.models.GaussianNet(bn.nn.mlp([4, 5, 3]), prior_scale="learned")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    for kind in ("unrolled", Implicit(steps=3, damping=1.0)):
        gradients = hypergradient(model, classes(), classes(seed=1), kind, upper_kl_weight=0.0)
        assert gradients["log_prior_scale"].isfinite().all()
        assert (gradients["log_prior_scale"] != 0).all()
        again = hypergradient(model, classes(), classes(seed=1), kind, upper_kl_weight=0.0)
        assert torch.equal(gradients["log_prior_scale"], again["log_prior_scale"])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


# Bilevel fits ----------------------------------------------------------------------------


@pytest.mark.slow_except("kind1")
@pytest.mark.parametrize("kind", [Unrolled(5), Implicit("cg", 3)])
def test_a_two_level_fit_finds_the_ridge_strength_of_least_validation_loss(kind: object):
    train, held_out = lines(10), lines(200, seed=1)
    model = Ridge()

    def loss(log_scale: float) -> float:
        model.log_scale.data = torch.tensor(log_scale)
        model.solve(*train)
        return float((held_out[1] - held_out[0] @ model.weight.detach()).square().mean())

    grid = np.linspace(-3, 2, 501)
    best = grid[np.argmin([loss(value) for value in grid])]
    assert -2.5 < best < 1.5
    post = bn.fit(
        Ridge(), train, validation=held_out, steps=200, lr=0.5, schedule="constant",
        optimizer=torch.optim.SGD, progress=False, device="cpu",
        bilevel=bn.Bilevel(kind, kl_weight=0.0, lr=0.05, schedule="cosine"),
    )  # fmt: skip
    assert post.model.log_scale.item() == pytest.approx(best, abs=0.1)


def test_levels_of_one_objective_on_one_sample_are_one_optimisation():
    """λ of both levels equal, greedy, the same data: both go to the ridge at the best s."""
    train = lines(40)
    fits = {}
    for name, options in {
        "joint": {},
        "bilevel": {"validation": train, "bilevel": bn.Bilevel(lr=0.05)},
    }.items():
        post = bn.fit(
            Ridge(), train, steps=400, lr=0.05, schedule="constant", progress=False,
            device="cpu", **options,
        )  # fmt: skip
        fits[name] = [post.model.log_scale.item(), *post.model.weight.tolist()]
    assert fits["bilevel"] == pytest.approx(fits["joint"], abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "compile"),
    [
        ("greedy", "trace"),
        ("unrolled", "trace"),
        (Implicit(steps=2, damping=1.0), "trace"),
        pytest.param("greedy", "inductor", marks=pytest.mark.slow),
        pytest.param("unrolled", "inductor", marks=pytest.mark.slow),
        pytest.param(Implicit(steps=2, damping=1.0), "inductor", marks=pytest.mark.slow),
    ],
)
def test_recorded_steps_of_both_levels_equal_eager_ones(kind: object, compile: str, caplog):
    options = {"bilevel": bn.Bilevel(kind, lr=0.05), "optimizer": SGD, "steps": 6, "batch_size": 12}
    traced = quick(mixed(), compile=compile, **options)
    plain = quick(mixed(), compile=False, **options)
    assert not [record for record in caplog.records if record.name == "bayesnas"]
    for name, value in plain.model.state_dict().items():
        assert torch.allclose(traced.model.state_dict()[name], value, atol=1e-5), name


def test_an_upper_step_that_differs_from_the_eager_one_stays_eager(caplog, monkeypatch):
    """Before a traced hypergradient takes a step it is compared with the eager one."""

    def wrong(function, tensors):
        return trace_step(lambda *inputs: 1.001 * function(*inputs), tensors)

    plain = quick(mixed(), compile=False, optimizer=SGD)
    monkeypatch.setattr(upper_step, "trace_step", wrong)
    traced = quick(mixed(), compile="trace", optimizer=SGD)
    assert "the upper level of LatentStructureNet" in caplog.text
    assert "differs from the eager one by 1.0e-03" in caplog.text
    for name, value in plain.model.state_dict().items():
        assert torch.allclose(traced.model.state_dict()[name], value, atol=1e-5), name


@pytest.mark.parametrize("tolerances", [(1e-4, -1.0), (-1.0, 1e-4)])
def test_a_resumed_upper_level_is_recorded_or_not_as_before(
    tmp_path, monkeypatch, caplog, tolerances
):
    def stop(event) -> None:
        if event.step == 8:
            raise InterruptedError

    options = {"compile": "trace", "optimizer": SGD, "checkpoint_every": 4, "out": tmp_path / "run"}
    monkeypatch.setattr(upper_step, "TOLERANCE", tolerances[0])
    with pytest.raises(InterruptedError):
        quick(mixed(), on_step=stop, **options)
    assert ("in eager mode" in caplog.text) == (tolerances[0] < 0)
    caplog.clear()
    monkeypatch.setattr(upper_step, "TOLERANCE", tolerances[1])
    quick(mixed(), resume=True, **options)
    assert caplog.text == ""


def test_the_lower_level_leaves_h_alone_and_the_upper_level_theta():
    start = mixed()
    # The upper level begins after the last step; weights of validation data never count.
    frozen = quick(mixed(), bilevel=bn.Bilevel(lr=0.05, start=0.99), steps=4, compile=False)
    other = quick(
        mixed(), bilevel=bn.Bilevel(lr=0.05, start=0.99), steps=4, compile=False,
        validation=classes(20, seed=7),
    )  # fmt: skip
    for name, value in frozen.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[name]), name
    moved = quick(mixed(), bilevel=bn.Bilevel(lr=0.05), steps=4, compile=False)
    name = "structural.gamma.logits"
    assert not torch.equal(moved.model.state_dict()[name], frozen.model.state_dict()[name])
    assert start.state_dict().keys() == moved.model.state_dict().keys()


@pytest.mark.parametrize(
    ("options", "moved"),
    [({}, range(1, 10)), ({"every": 4}, (4, 8)), ({"every": 4, "start": 0.25}, (3, 7))],
)
def test_h_moves_with_every_so_many_steps_of_theta(options: dict[str, float], moved: object):
    """Seen by its values after each step, from the second on: gradient descent moves them."""
    values: list[Tensor] = []

    def watch(event: bn.inference.StepEvent) -> None:
        values.append(event.model.state_dict()["structural.gamma.logits"].clone())

    level = bn.Bilevel(optimizer=torch.optim.SGD, lr=0.05, **options)
    quick(mixed(), bilevel=level, steps=10, on_step=watch, compile=False)
    changed = [not torch.equal(*pair) for pair in itertools.pairwise(values)]
    assert [step for step, differs in enumerate(changed, 1) if differs] == list(moved)


def test_structure_over_a_range_of_kl_weights_with_weights_shared():
    """DARTS-CC: α and the classifier depend on λ, all other weights do not."""
    maps = {"structural": "piecewise", "net.primitives.h->y": "linear"}
    n = 24
    post = quick(
        mixed(), kl_weight=bn.LogUniform(1e-5 * n, 1.0 * n), amortize=maps, steps=150,
        bilevel=bn.Bilevel(lr=0.05), optimizer=SGD,
    )  # fmt: skip
    low, high = post.at(1e-5 * n).model, post.at(1.0 * n).model
    differ = {
        name
        for name, value in low.named_parameters()
        if not torch.equal(value, dict(high.named_parameters())[name])
    }
    assert differ == {
        "structural.gamma.logits",
        "net.primitives.h->y.0.weight",
        "net.primitives.h->y.0.bias",
    }
    narrow = [model.probabilities()["x", "h"][1] for model in (low, high)]
    assert narrow[1] > 0.9
    assert narrow[0] < 0.6


def test_a_two_level_fit_resumes_exactly_and_loads(tmp_path):
    maps = {"structural": "piecewise"}
    options = {
        "kl_weight": bn.LogUniform(0.1, 10.0), "amortize": maps, "steps": 12,
        "checkpoint_every": 5, "optimizer": SGD, "bilevel": bn.Bilevel("unrolled", lr=0.05),
    }  # fmt: skip
    whole = quick(mixed(), **options)

    def stop(event) -> None:
        if event.step == 7:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        quick(mixed(), out=tmp_path / "run", on_step=stop, **options)
    resumed = quick(mixed(), out=tmp_path / "run", resume=True, **options)
    loaded = bn.load(tmp_path / "run")
    for post in (resumed, loaded):
        for kl_weight in (0.1, 1.0, 10.0):
            expected = whole.at(kl_weight).model.state_dict()
            for name, value in post.at(kl_weight).model.state_dict().items():
                assert torch.equal(value, expected[name]), name
    assert loaded.settings.bilevel["optimizer"] == "Adam"
    other = {**options, "bilevel": bn.Bilevel("greedy", lr=0.05)}
    with pytest.raises(ValueError, match="settings bilevel="):
        quick(mixed(), out=tmp_path / "run", resume=True, **other)


def test_restarts_of_a_two_level_fit_are_chains():
    post = quick(mixed(), restarts=2, compile=False)
    assert post.chains == 2


# Arguments ---------------------------------------------------------------------------------


def test_parameters_of_the_upper_level_are_found_by_name():
    model = mixed()
    assert upper_parameters(model) == ("structural.gamma.logits",)
    assert upper_parameters(model, ["net.primitives.h->y", "structural"]) == (
        "net.primitives.h->y.0.weight",
        "net.primitives.h->y.0.bias",
        "structural.gamma.logits",
    )
    for chosen in (["struct"], ["net.nothing"]):
        with pytest.raises(ValueError, match="bilevel.parameters must name trainable.*and 3 more"):
            upper_parameters(model, chosen)
    with pytest.raises(ValueError, match="must name some of the trained parameters.*and not all"):
        upper_parameters(bn.models.GaussianNet(bn.nn.mlp([4, 3])))
    with pytest.raises(ValueError, match="must name some of the trained parameters.*and not all"):
        upper_parameters(model, ["net", "structural"])


def test_what_does_not_fit_is_named():
    for options, error, message in (
        ({"validation": None}, ValueError, "bilevel needs validation="),
        ({"patience": 2}, ValueError, "patience needs data that no level is trained on"),
        ({"bilevel": "greedy"}, TypeError, "bilevel must be a bayesnas.Bilevel, got 'greedy'"),
        ({"amortize": {"head": "linear"}, "kl_weight": bn.LogUniform(0.1, 1)}, ValueError,
         "amortize must name trainable parameters.*got 'head'"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            quick(mixed(), **options)
    for options, error, message in (
        ({"hypergradient": "reverse"}, ValueError, "hypergradient must be one of"),
        ({"parameters": "structural"}, TypeError, "parameters must be a sequence of names"),
        ({"kl_weight": -1.0}, ValueError, "kl_weight must be a finite number >= 0"),
        ({"likelihood_weight": -1.0}, ValueError, "likelihood_weight must be a finite number >= 0"),
        ({"lr": 0.0}, ValueError, "lr must be a finite number > 0"),
        ({"schedule": "stairs"}, ValueError, "schedule must be one of"),
        ({"batch_size": 0}, ValueError, "batch_size must be a whole number >= 1"),
        ({"start": 1.0}, ValueError, r"start must be a fraction in \[0, 1\), got 1.0"),
    ):
        with pytest.raises(error, match=message):
            bn.Bilevel(**options)
    with pytest.raises(ValueError, match="upper_kl_weight must be a finite number >= 0, got -1.0"):
        hypergradient(Ridge(), lines(5), lines(5), upper_kl_weight=-1.0)


def test_a_pair_with_an_elbo_has_no_two_levels():
    pair = bn.models.PyroPair(lambda x, y: None, lambda x, y: None, elbo=pyro.infer.Trace_ELBO())
    with pytest.raises(TypeError, match="bilevel takes the bound of a fit"):
        upper_parameters(pair)
