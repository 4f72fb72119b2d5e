"""A recorded step as one CUDA graph: a launch instead of one for every operation."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bayesnas.inference.compile.trace import RecordedStep

_LOG = logging.getLogger("bayesnas")
_WARM_UP = 3  # runs before a capture, in which libraries set themselves up
BATCH = 3  # the last arguments of a step, new at every one: x, y and the scalars


@dataclass
class _Capture:
    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    result: Tensor


class CapturedStep:
    """Takes a recorded step by replaying a CUDA graph of it.

    A graph reads and writes fixed addresses. The leaves, gradients, moments and buffers of a fit
    stay where they are; batch and scalars are copied into tensors of the graph's own. There is a
    graph for every set of leaves, since a piecewise map over λ uses other knots at every step.
    Noise is drawn in the graph by torch's default generator, which capture registers with it, so
    a replay goes on from the generator's state and moves it as the plain step does; so do the
    generators of many chains, which are registered here. Nothing waits for the GPU.

    Where a step can't be captured, it is taken operation by operation, and a line in the log of
    ``bayesnas`` says so.

    Args:
        step: the recorded step.

    Attributes:
        step: as given.
    """

    def __init__(self, step: RecordedStep) -> None:
        """Keep the step; the first call of every set of leaves captures."""
        self.step = step
        self._captures: dict[tuple[int, ...], _Capture] = {}
        self._pool: Any = None
        self._possible = True

    def __call__(self, *tensors: Tensor) -> Tensor:
        """Take a step; arguments of :class:`~bayesnas.inference.compile.trace.StepFunction`."""
        if not self._possible:
            return self.step(*tensors)
        key = tuple(tensor.data_ptr() for tensor in tensors[:-BATCH])
        if key not in self._captures:
            try:
                self._captures[key] = self._captured(*tensors)
            except RuntimeError as error:
                self._possible = False
                _LOG.warning("steps run without a CUDA graph, which can't be captured: %s", error)
                return self.step(*tensors)
        capture = self._captures[key]
        for held, value in zip(capture.inputs, tensors[-BATCH:], strict=True):
            held.copy_(value, non_blocking=True)
        capture.graph.replay()
        return capture.result.clone()  # the next replay writes it anew

    def _captured(self, *tensors: Tensor) -> _Capture:
        inputs = [tensor.clone() for tensor in tensors[-BATCH:]]
        arguments = [*tensors[:-BATCH], *inputs]
        self._warm_up(arguments)
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        for generator in self.step.noise.generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, pool=self._pool):
            result = self.step(*arguments)
        return _Capture(graph, inputs, result)

    def _warm_up(self, arguments: list[Tensor]) -> None:
        """Run the step on a stream of its own, as capture will, and undo what it did."""
        device = arguments[-1].device
        held = arguments[:-BATCH]
        before = [tensor.clone() for tensor in held]
        random_state = torch.cuda.get_rng_state(device)
        generators = self.step.noise.generators
        own_states = [generator.get_state() for generator in generators]
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                self.step(*arguments)
        torch.cuda.current_stream(device).wait_stream(side)
        for tensor, value in zip(held, before, strict=True):
            tensor.copy_(value)
        torch.cuda.set_rng_state(random_state, device)
        for generator, state in zip(generators, own_states, strict=True):
            generator.set_state(state)
