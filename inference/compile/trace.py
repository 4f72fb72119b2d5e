"""The bound and its gradient as one traced function of tensors, compiled on demand."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.compile.bfloat16 import round_products
from bayesnas.inference.compile.max_pool import keep_pooling
from bayesnas.inference.compile.native_calls import by_bindings
from bayesnas.inference.compile.not_traceable import NotTraceableError
from bayesnas.inference.compile.random_ops import Noise, take_out_noise
from bayesnas.inference.compile.simplify import simplify
from bayesnas.inference.compile.torch_private import compile_operations, trace_operations
from bayesnas.inference.elbo.bound import BoundTerms, bound_terms
from bayesnas.inference.optim.adam import adam_update
from bayesnas.inference.optim.step_tensors import StepInputs, StepScalars
from bayesnas.inference.optim.tensor_trees import Tree, flatten, unflatten
from bayesnas.inference.optim.trainable_parameters import (
    ActiveLeaves,
    TrainableParameters,
    constant_parameters,
    running_buffers,
)
from bayesnas.models.base import BayesianModel
from bayesnas.nn.functional_call import functional_call

_LOG = logging.getLogger("bayesnas")
MOST_COMPILED = 4_000
"""Operations of a step that compiling is worth; a recurrent layer has some fifty a time step."""


class BoundModule(nn.Module):
    """The terms of the bound as the forward pass of a module, for ``functional_call``."""

    def __init__(self, model: BayesianModel) -> None:
        """Hold the model."""
        super().__init__()
        self.model = model

    def forward(self, x: AnyInputs, y: Tensor, data_scale: float) -> BoundTerms:
        """Run guide and model once.

        Raises:
            NotTraceableError: a module has another tensor in the place of a buffer than before:
                a trace sees only what is written into the buffer.
        """
        before = dict(self.model.named_buffers())
        terms = bound_terms(self.model, x, y, data_scale=data_scale)
        for name, buffer in self.model.named_buffers():
            if before.get(name, buffer) is not buffer:
                raise NotTraceableError(
                    f"a forward pass puts another tensor in the place of the buffer {name}: write "
                    f"into it, by {name.rpartition('.')[2]}.copy_(...), to have steps traced"
                )
        return terms


class StepFunction:
    """One training step as a pure function of tensors, for tracing.

    :class:`~bayesnas.inference.optim.step_tensors.StepInputs` go in; the terms of the bound, one a
    site, come out, and gradients, leaves, moments and running buffers are written in place.

    Args:
        model: model and guide.
        trained: its parameters, those that the step trains.
        use: of any step; every step uses as many leaves and inputs.
        examples: size N of the sample.
        clip: largest absolute value of a gradient entry, or None.
        adam: whether the update is part of the step; else only the gradient is written.
    """

    def __init__(
        self,
        model: BayesianModel,
        trained: TrainableParameters,
        use: ActiveLeaves,
        examples: int,
        clip: float | None,
        adam: bool,
    ) -> None:
        """Name parameters and buffers; see the class."""
        self._module = BoundModule(model)
        self._groups = trained.groups
        self._examples, self._clip, self._adam = examples, clip, adam
        self._leaf_counts = [len(place.leaves) for place in use.places]
        self._input_counts = [len(place.inputs) for place in use.places]
        self._names = [[f"model.{name}" for name in group.names] for group in self._groups]
        self._constant = [f"model.{name}" for name in constant_parameters(model, trained)]
        self._buffers = list(running_buffers(self._module))
        self.log_lik_sites: list[str] = []
        self.kl_sites: list[str] = []

    def __call__(self, inputs: StepInputs) -> Tensor:
        """Take a step."""
        scalars = StepScalars.unpack(inputs.scalars, len(inputs.leaves))
        leaves = [value.detach().requires_grad_() for value in inputs.leaves]
        terms = self._terms(leaves, scalars.inputs, inputs)
        self.log_lik_sites, self.kl_sites = list(terms.log_lik), list(terms.kl)
        loss = -terms.bound(scalars.kl_weight) / self._examples
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        for index, gradient in enumerate(gradients):
            clipped = gradient if self._clip is None else gradient.clamp(-self._clip, self._clip)
            inputs.gradients[index].copy_(clipped)
            if self._adam:
                moments = inputs.exp_avg[index], inputs.exp_avg_sq[index]
                adam_update(inputs.leaves[index], clipped, *moments, scalars.adam[index])
        return terms.stacked()

    def _terms(self, leaves: Sequence[Tensor], taken: Tensor, inputs: StepInputs) -> BoundTerms:
        """The bound at the leaves; ``taken`` is what the maps over λ take."""
        state = dict(zip(self._buffers, inputs.buffers, strict=True))
        state |= zip(self._constant, inputs.constant, strict=True)
        remaining, pieces = iter(leaves), taken.split(self._input_counts)
        for group, names, count, piece in zip(
            self._groups, self._names, self._leaf_counts, pieces, strict=True
        ):
            group_leaves = [next(remaining) for _ in range(count)]
            values = group.net.combine(group_leaves, piece.to(group_leaves[0].dtype))
            state |= zip(names, group.flat.split(values), strict=True)
        scale = self._examples / len(inputs.x)
        terms: BoundTerms = functional_call(self._module, state, (inputs.x, inputs.y, scale))
        return terms


class StepGraph:
    """A step as a graph of tensor operations, with its noise drawn outside.

    The draws come in the order of the eager run, so the numbers are the eager ones in whatever
    order a compiler puts the rest. Where what is drawn depends on values, as the numbers of a
    binomial do, all draws stay in the graph.

    Args:
        graph: of the step, traced as a function of a flat list of tensors; it is changed.
        noise: draws its last arguments; by default they are taken out of the graph.

    Attributes:
        graph: of tensor operations, with noise among its arguments.
        noise: draws that.
    """

    def __init__(self, graph: torch.fx.GraphModule, noise: Noise | None = None) -> None:
        """Take the noise out of the graph; see the class."""
        self.noise = Noise(take_out_noise(graph.graph)) if noise is None else noise
        simplify(graph.graph)
        graph.recompile()
        self.graph = graph
        self._run: Callable[..., Tensor] | None = None  # made where it is run uncompiled

    def __call__(self, inputs: tuple[Any, ...]) -> Tensor:
        """Draw the noise and run the graph; ``inputs`` are those of the function it is of."""
        if self._run is None:
            self._run = by_bindings(self.graph)
        with torch.no_grad():
            return self._run(*flatten(inputs), *self.noise())

    def round_products(self) -> None:
        """Take the matrix products in bfloat16; before :meth:`compile`."""
        round_products(self.graph.graph)
        self.graph.recompile()
        self._run = None

    def compile(self, inputs: tuple[Any, ...]) -> None:
        """Compile the graph with inductor; draws noise. A very large one runs as it is.

        Args:
            inputs: of a run, for their shapes.
        """
        size = len(self.graph.graph.nodes)
        if size > MOST_COMPILED:
            _LOG.info("a step of %d operations is traced and not compiled", size)
            return
        self.noise.compile()
        tensors = [*flatten(inputs), *self.noise()]
        keep_pooling(self.graph.graph)
        self.graph.recompile()
        with torch.no_grad():
            self._run = compile_operations(self.graph, tensors)


def trace_step(
    function: Callable[..., Tensor], inputs: Tree, noise: Noise | None = None
) -> StepGraph:
    """Run a function once on copies of its arguments and keep the tensor operations.

    Args:
        function: a step, of ``inputs`` and of what ``noise`` draws.
        inputs: its first argument, a NamedTuple of tensors and lists of tensors.
        noise: draws its other arguments; by default it draws by itself.

    Raises:
        RuntimeError: where the model looks at a value (data-dependent control flow).
    """
    tensors = flatten(inputs)
    count = len(tensors)

    def of_tensors(*given: Tensor) -> Tensor:
        return function(unflatten(inputs, given[:count]), *given[count:])

    given = [*tensors, *(noise() if noise is not None else ())]
    copies = [tensor.detach().clone() for tensor in given]
    return StepGraph(trace_operations(of_tensors, copies), noise)


def relative_difference(values: Tensor, expected: Tensor) -> float:
    """‖values − expected‖ / ‖expected‖; infinite where either is NaN."""
    size = max(float(expected.norm()), 1e-12)
    difference = float((values - expected).norm()) / size
    return difference if difference == difference else math.inf
