"""A traced step as one CUDA graph: a launch instead of one for every operation."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bayesnas.data.inputs import leaves_of, map_inputs
from bayesnas.inference.compile.trace import StepGraph
from bayesnas.inference.optim.step_tensors import StepInputs

_LOG = logging.getLogger("bayesnas")
_WARM_UP = 3  # runs before a capture, in which libraries set themselves up


@dataclass
class _Capture:
    graph: torch.cuda.CUDAGraph
    inputs: StepInputs
    result: Tensor


class CapturedStep:
    """Takes a traced step by replaying a CUDA graph of it.

    A graph reads and writes fixed addresses. The leaves, gradients, moments and buffers of a fit
    stay where they are; batch and scalars are copied into tensors of the graph's own. There is a
    graph for every set of leaves, since a piecewise map over λ uses other knots at every step.
    Noise is drawn in the graph by torch's default generator, which capture registers with it, so
    a replay goes on from the generator's state and moves it as the plain step does; so do the
    generators of many chains, which are registered here. Nothing waits for the GPU.

    Where a step can't be captured, it is taken operation by operation, and a line in the log of
    ``bayesnas`` says so.

    Args:
        step: the traced step.

    Attributes:
        step: as given.
    """

    def __init__(self, step: StepGraph) -> None:
        """Keep the step; the first call of every set of leaves captures."""
        self.step = step
        self._captures: dict[tuple[int, ...], _Capture] = {}
        self._pool: Any = None
        self._possible = True

    def __call__(self, inputs: StepInputs) -> Tensor:
        """Take a step."""
        if not self._possible:
            return self.step(inputs)
        key = tuple(tensor.data_ptr() for tensor in _lasting(inputs))
        if key not in self._captures:
            try:
                self._captures[key] = self._captured(inputs)
            except RuntimeError as error:
                self._possible = False
                _LOG.warning("steps run without a CUDA graph, which can't be captured: %s", error)
                return self.step(inputs)
        capture = self._captures[key]
        for captured, value in zip(_batch(capture.inputs), _batch(inputs), strict=True):
            captured.copy_(value, non_blocking=True)
        capture.graph.replay()
        return capture.result.clone()  # the next replay writes it anew

    def _captured(self, inputs: StepInputs) -> _Capture:
        x = map_inputs(torch.clone, inputs.x)
        inputs = inputs._replace(x=x, y=inputs.y.clone(), scalars=inputs.scalars.clone())
        self._warm_up(inputs)
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        for generator in self.step.noise.generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, pool=self._pool):
            result = self.step(inputs)
        return _Capture(graph, inputs, result)

    def _warm_up(self, inputs: StepInputs) -> None:
        """Run the step on a stream of its own, as capture will, and undo what it did."""
        device = inputs.y.device
        before = [tensor.clone() for tensor in _lasting(inputs)]
        random_state = torch.cuda.get_rng_state(device)
        generators = self.step.noise.generators
        states = [generator.get_state() for generator in generators]
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                self.step(inputs)
        torch.cuda.current_stream(device).wait_stream(side)
        for tensor, value in zip(_lasting(inputs), before, strict=True):
            tensor.copy_(value)
        torch.cuda.set_rng_state(random_state, device)
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _batch(inputs: StepInputs) -> list[Tensor]:
    """What is new at every step."""
    return [*leaves_of(inputs.x), inputs.y, inputs.scalars]


def _lasting(inputs: StepInputs) -> list[Tensor]:
    """What lies at the same addresses at every step of these leaves."""
    return [tensor for part in inputs if isinstance(part, list) for tensor in part]
