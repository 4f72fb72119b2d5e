"""The ways to take training steps that the step benchmark compares."""

from __future__ import annotations

from collections.abc import Callable

import pyro
import pyro.distributions as dist
import torch
import torch.nn.functional as F
from step_nets import NETS, PLAIN, PRIOR, HandLayer, batch, hand_layers
from torch import Tensor
from torch.distributions import constraints
from torch.func import functional_call

import bayesnas as bn
from bayesnas.inference.config.settings import FitSettings, StepKLWeight
from bayesnas.inference.steps.step import Step
from bayesnas.runtime.matmul_precision import fast_products
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream

EXAMPLES = 60_000
STEPS = {"mlp": 100, "mlp1000": 3, "mlp4000": 1, "conv": 5, "cell": 3}  # of a call
# inductor's own random numbers are slow on a CPU
COMPILE: dict[str, str | int | bool | Callable[..., object]] = {"fallback_random": True}

Taken = Callable[[], object]  # STEPS[net] steps


def by_adam(
    net: str, module: torch.nn.Module, loss: Callable[[Tensor, Tensor], Tensor], compiled: bool
) -> Taken:
    """Steps of torch's fused Adam on a loss, which is compiled or not."""
    x, y = batch(net)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=True)
    measured = torch.compile(loss, dynamic=False, options=COMPILE) if compiled else loss

    def steps() -> None:
        for _ in range(STEPS[net]):
            optimizer.zero_grad()
            measured(x, y).backward()
            optimizer.step()

    return steps


def ordinary(net: str, compiled: bool) -> Taken:
    """The same net without a posterior: cross-entropy and Adam; its loss compiled or not."""
    module = NETS[net](PLAIN)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(module(x), y)

    return by_adam(net, module, loss, compiled)


def products(net: str, times: int) -> Taken:
    """The matrix products of a perceptron's ordinary step alone, each so many times."""
    layers = [
        module for module in NETS[net](PLAIN).modules() if isinstance(module, torch.nn.Linear)
    ]
    weights = [layer.weight.detach() for layer in layers]
    x, _ = batch(net)

    @torch.no_grad()
    def steps() -> None:
        for _ in range(STEPS[net] * times):
            inputs = [x]
            for weight in weights:
                inputs.append(inputs[-1] @ weight.t())
            gradient = inputs.pop()
            for weight in reversed(weights):
                before = inputs.pop()
                gradient.t() @ before
                gradient = gradient @ weight if inputs else gradient

    return steps


def ivon(net: str) -> Taken:
    """The net by IVON (Shen et al. 2024): weights drawn once a step, no KL, no compiler."""
    import ivon as package

    module = NETS[net](PLAIN)
    x, y = batch(net)
    optimizer = package.IVON(module.parameters(), lr=0.1, ess=EXAMPLES)

    def steps() -> None:
        for _ in range(STEPS[net]):
            with optimizer.sampled_params(train=True):
                optimizer.zero_grad()
                F.cross_entropy(module(x), y).backward()
            optimizer.step()

    return steps


def by_hand(net: str, estimator: str, compiled: bool) -> Taken:
    """Plain torch: Bayesian layers, closed-form KL, Adam; loss and update compiled or not."""
    module = NETS[net](hand_layers(estimator == "local"))
    layers = [m for m in module.modules() if isinstance(m, HandLayer)]

    def loss(x: Tensor, y: Tensor) -> Tensor:
        kl = sum(layer.kl() for layer in layers)
        return F.cross_entropy(module(x), y) + kl / EXAMPLES

    return by_adam(net, module, loss, compiled)


def ours(net: str, estimator: str, mode: str, precision: str = "float32") -> Taken:
    """The step of ``bayesnas.fit``."""
    model = bn.models.GaussianNet(NETS[net](PLAIN), prior_scale=PRIOR, estimator=estimator)
    stream = RandomStream(0, torch.device("cpu"))
    settings = FitSettings(
        kl_weight=1.0, kl_warmup=0.0, amortization=None, steps=1, batch_size=256, lr=1e-3,
        schedule="constant", clip=None, restarts=1, patience=None, seed=0, optimizer="Adam",
        compile=mode, precision=precision,
    )  # fmt: skip
    taken = Step(model, torch.optim.Adam, settings, EXAMPLES, stream, lambda: "")
    x, y = batch(net)

    def steps() -> None:
        with pyro_session(stream), fast_products(x.device):
            for _ in range(STEPS[net]):
                taken(x, y, StepKLWeight(1.0, 1.0), 1.0)

    return steps


def pyro_svi(net: str) -> Taken:
    """``pyro.infer.SVI`` with TraceMeanField_ELBO, weights sampled."""
    module = NETS[net](PLAIN)
    shapes = {name: p.shape for name, p in module.named_parameters() if "mix" not in name}
    x, y = batch(net)

    def model(x: Tensor, y: Tensor) -> None:
        weights = {
            name: pyro.sample(name, dist.Normal(0.0, PRIOR).expand(shape).to_event(len(shape)))
            for name, shape in shapes.items()
        }
        with pyro.plate("data", EXAMPLES, subsample=x):
            logits = functional_call(module, weights, (x,))
            pyro.sample("y", dist.Categorical(logits=logits), obs=y)

    def guide(x: Tensor, y: Tensor) -> None:
        for name, shape in shapes.items():
            start = dict(module.named_parameters())[name].detach().clone()
            loc = pyro.param(f"{name}.loc", start)
            scale = pyro.param(
                f"{name}.scale", torch.full(shape, 0.018), constraint=constraints.positive
            )
            pyro.sample(name, dist.Normal(loc, scale).to_event(len(shape)))

    pyro.clear_param_store()
    adam = pyro.optim.PyroOptim(torch.optim.Adam, {"lr": 1e-3})
    svi = pyro.infer.SVI(model, guide, adam, pyro.infer.TraceMeanField_ELBO())

    def steps() -> None:
        for _ in range(STEPS[net]):
            svi.step(x, y)

    return steps


def numpyro_svi(compiled_loop: bool) -> Taken:
    """NumPyro's SVI of the 784–100–10 net, weights sampled: a jitted step, or a compiled loop."""
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as ndist
    from numpyro.infer import SVI, TraceMeanField_ELBO

    x, y = (jnp.asarray(part.numpy()) for part in batch("mlp"))
    shapes = {"w1": (784, 100), "b1": (100,), "w2": (100, 10), "b2": (10,)}

    def model(x: jax.Array, y: jax.Array) -> None:
        w = {
            name: numpyro.sample(name, ndist.Normal(0.0, PRIOR).expand(shape).to_event(len(shape)))
            for name, shape in shapes.items()
        }
        logits = jax.nn.relu(x @ w["w1"] + w["b1"]) @ w["w2"] + w["b2"]
        with numpyro.plate("data", EXAMPLES, subsample_size=len(x)):
            numpyro.sample("y", ndist.Categorical(logits=logits), obs=y)

    def guide(x: jax.Array, y: jax.Array) -> None:
        for index, (name, shape) in enumerate(shapes.items()):
            start = 0.05 * jax.random.normal(jax.random.PRNGKey(index), shape)
            loc = numpyro.param(f"{name}_loc", start)
            scale = numpyro.param(
                f"{name}_scale", jnp.full(shape, 0.018), constraint=ndist.constraints.positive
            )
            numpyro.sample(name, ndist.Normal(loc, scale).to_event(len(shape)))

    svi = SVI(model, guide, numpyro.optim.Adam(1e-3), TraceMeanField_ELBO())
    state = svi.init(jax.random.PRNGKey(0), x, y)
    carried = [state]
    update = jax.jit(svi.update)

    def one_by_one() -> None:
        for _ in range(STEPS["mlp"]):
            carried[0], loss = update(carried[0], x, y)
            loss.block_until_ready()

    def many(state: object) -> tuple[object, jax.Array]:
        last, losses = jax.lax.scan(lambda s, _: svi.update(s, x, y), state, length=STEPS["mlp"])
        return last, losses

    scanned = jax.jit(many)

    def in_a_loop() -> None:
        carried[0], losses = scanned(carried[0])
        losses.block_until_ready()

    return in_a_loop if compiled_loop else one_by_one
