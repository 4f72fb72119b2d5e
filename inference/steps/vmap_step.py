"""One step of many chains at once: the traced step of one, mapped over stacked tensors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.compile.cuda_graph import CapturedStep
from bayesnas.inference.compile.not_traceable import NotTraceableError
from bayesnas.inference.compile.random_ops import StackedNoise, random_operations
from bayesnas.inference.compile.trace import StepGraph, relative_difference, trace_step
from bayesnas.inference.config.settings import StepKLWeight
from bayesnas.inference.optim.adam import (
    UNMOVED,
    AdamScalars,
    StepCounts,
    adam_scalars,
    adam_update,
)
from bayesnas.inference.optim.step_tensors import StepInputs, StepScalars, scalar_type
from bayesnas.inference.optim.tensor_trees import flatten, mapped, stacked
from bayesnas.inference.optim.trainable_parameters import ActiveLeaves
from bayesnas.inference.steps.step import Step
from bayesnas.inference.steps.traced_step import TOLERANCE, Graph
from bayesnas.runtime.device import sent
from bayesnas.runtime.pyro_context import pyro_session


class NotVmappableError(Exception):
    """Why the steps of several chains can't be taken as one."""


class VmappedStep:
    """Takes the steps of many chains at once.

    The gradient of one chain's step is traced as ever and mapped over a leading dimension by
    ``torch.func.vmap``; with Adam's update it is traced again, as plain tensor operations, and
    compiled or captured like the step of one. Leaves, gradients, moments and buffers of all chains
    lie in stacked tensors ``[chains, ...]``, and what a chain has of its own are rows of them: so
    whatever is done with a chain between steps is done as if it were alone. Its noise comes from
    its own stream. The first steps of all chains are compared with their eager ones.

    Args:
        steps: of the chains, alike but for parameters, random streams and KL weights.
        trusted: that a comparison was made before.

    Attributes:
        running: indices of the chains that take steps.
    """

    def __init__(self, steps: Sequence[Step], *, trusted: bool) -> None:
        """Stack what the steps read and write; the chains' own tensors stay for now."""
        self._steps, self._trusted = list(steps), trusted
        self._first = steps[0]
        self._device = self._first.trained.leaves[0].device
        self._generators = [torch.Generator(self._device) for _ in steps]
        self._tensors = stacked([step.traced.arguments.tensors() for step in steps])
        self._graphs: dict[torch.Size, Graph] = {}
        self._counts: StepCounts = {}
        self.running = list(range(len(steps)))

    def record(self, x: AnyInputs, y: Tensor, *, shared: bool) -> None:
        """Make the step for one shape of batches.

        Args:
            x: inputs ``[chains, b, ...]``, or ``[b, ...]`` where all chains see the same.
            y: targets alike.
            shared: whether they do.

        Raises:
            NotVmappableError: where the steps can't be taken at once, with the reason; nothing
                has happened to the chains then.
        """
        if y.shape not in self._graphs:
            self._graphs[y.shape] = self._record(x, y, shared)

    def take_over(self) -> None:
        """Make the tensors of every chain rows of the stacked ones."""
        for chain, step in enumerate(self._steps):
            step.traced.arguments.move(mapped(itemgetter(chain), self._tensors))
            step.log_lik_sites = self._first.traced.log_lik_sites
            step.kl_sites = self._first.traced.kl_sites

    def release(self, chain: int) -> None:
        """Give a chain that takes no more steps tensors of its own; its rows are left to run."""
        of_chain = mapped(lambda tensor: tensor[chain].clone(), self._tensors)
        self._steps[chain].traced.arguments.move(of_chain)
        self.running.remove(chain)

    def recount(self) -> None:
        """Note that the counts of Adam were changed from outside."""
        self._counts.clear()

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Take steps inside the block: the running chains' streams go on by what they draw."""
        kind = self._device.type
        self._seed_generators()
        yield
        for chain in self.running:
            self._steps[chain].stream.state[kind] = self._generators[chain].get_state()

    def __call__(
        self, x: AnyInputs, y: Tensor, kl_weights: Sequence[StepKLWeight], factor: float
    ) -> Tensor:
        """Take a step of every chain; of those released it has no effect.

        Args:
            x: inputs, of a shape traced.
            y: targets.
            kl_weights: of every chain.
            factor: of the learning-rate schedule.

        Returns:
            the terms of the bounds, ``[chains, sites]``.
        """
        for chain in self.running:
            self._steps[chain].rates.scale(factor)
        lead = self._steps[self.running[0]]
        place = kl_weights[self.running[0]]
        use = lead.trained.use(place.target, place.metaparameters)
        for chain in self.running:  # of each a row of the stacked buffers
            self._steps[chain].eager.write_metaparameters(kl_weights[chain].metaparameters)
        adam = None
        if lead.adam:
            lr = lead.optimizer.param_groups[0]["lr"]
            adam = adam_scalars(self._tensors.step, use, lr, self._counts)
        weights = [kl_weight.bound for kl_weight in kl_weights]
        rows = self._graphs[y.shape](self._inputs(x, y, weights, use, adam))
        if not lead.adam:
            for chain in self.running:
                step = self._steps[chain]
                at = kl_weights[chain]
                step.update(step.trained.use(at.target, at.metaparameters))
        return rows

    def _inputs(
        self,
        x: AnyInputs,
        y: Tensor,
        kl_weights: Sequence[float],
        use: ActiveLeaves,
        adam: Sequence[AdamScalars[float]] | None = None,
    ) -> StepInputs:
        """Arguments of the step; without ``adam`` one that leaves every leaf as it is."""
        adam = [UNMOVED] * len(use.leaves) if adam is None else adam
        rows = [StepScalars.pack(kl_weight, adam, use.inputs) for kl_weight in kl_weights]
        scalars = torch.tensor(rows, dtype=scalar_type(use.leaves))
        return self._tensors.inputs(use, x, y, sent(scalars, self._device))

    # Making -------------------------------------------------------------------------------

    def _record(self, x: AnyInputs, y: Tensor, shared: bool) -> Graph:
        first, weights = self._first, [step.settings.another_kl_weight for step in self._steps]
        use = first.trained.use(weights[0].target, weights[0].metaparameters)
        with pyro_session(first.stream):
            try:
                single = first.traced.graph_of(*_of_chain(0, x, y, shared), use, adam=False)
            except NotTraceableError as reason:
                raise NotVmappableError(str(reason)) from reason
        if random_operations(single.graph.graph):
            raise NotVmappableError("what it draws depends on values")
        inputs = self._inputs(x, y, [weight.bound for weight in weights], use)
        inputs = inputs._replace(buffers=self._buffers_at(weights))
        noise = StackedNoise(single.noise.draws, self._generators)
        recorded = _vmap_step(single, inputs, noise, adam=first.adam, shared=shared)
        rounded = first.settings.precision == "bfloat16"
        if rounded:  # compared while it still gives the eager numbers
            self._compare(recorded, inputs, shared)
            single.round_products()
            recorded = _vmap_step(single, inputs, noise, adam=first.adam, shared=shared)
        if first.traced.compiles(y.shape[0 if shared else 1]):
            recorded.compile(inputs)
        if not rounded:
            self._compare(recorded, inputs, shared)
        return CapturedStep(recorded) if first.settings.compile == "cudagraph" else recorded

    def _compare(self, recorded: StepGraph, inputs: StepInputs, shared: bool) -> None:
        """Raise NotVmappableError unless every chain gets the numbers of its eager step."""
        if self._trusted:
            return
        copies = mapped(torch.clone, inputs)
        self._seed_generators()
        traced = [recorded(copies), *copies.gradients]
        for chain, step in enumerate(self._steps):
            batch = _of_chain(chain, inputs.x, inputs.y, shared)
            with pyro_session(step.stream):
                other = step.settings.another_kl_weight
                eager = step.eager.numbers(*batch, other.target, other.metaparameters)
            pairs = zip((tensor[chain] for tensor in traced), eager, strict=True)
            # What is not finite is an error of the first step, which says of which site.
            finite = all(bool(value.isfinite().all()) for value in eager)
            difference = max(relative_difference(a, b) for a, b in pairs)
            if finite and difference > TOLERANCE:
                raise NotVmappableError(
                    f"the step of chain {chain} among others differs from its own by "
                    f"{difference:.1e}"
                )

    def _buffers_at(self, kl_weights: Sequence[StepKLWeight]) -> list[Tensor]:
        """The buffers of all chains, with the metaparameters of these KL weights; copies."""
        by_chain = []
        for step, kl_weight in zip(self._steps, kl_weights, strict=True):
            with step.eager.unchanged():
                step.eager.write_metaparameters(kl_weight.metaparameters)
                buffers = step.traced.arguments.tensors().buffers
                by_chain.append([buffer.clone() for buffer in buffers])
        return [torch.stack(rows) for rows in zip(*by_chain, strict=True)]

    def _seed_generators(self) -> None:
        for generator, step in zip(self._generators, self._steps, strict=True):
            generator.set_state(step.stream.state[self._device.type])


def _of_chain(chain: int, x: AnyInputs, y: Tensor, shared: bool) -> tuple[AnyInputs, Tensor]:
    return (x, y) if shared else (x[chain], y[chain])


def _vmap_step(
    single: StepGraph, inputs: StepInputs, noise: StackedNoise, *, adam: bool, shared: bool
) -> StepGraph:
    """Map the gradient of one chain's step over all, and put Adam's update behind it.

    Args:
        single: writes the gradients of one chain.
        inputs: of the step of all.
        noise: of all.
        adam: whether Adam's update is part of the step.
        shared: whether all chains see the same examples.
    """
    batch = None if shared else 0
    places = [
        batch if name in ("x", "y") else 0
        for name, part in zip(StepInputs._fields, inputs, strict=True)
        for _ in flatten((part,))
    ]

    def one(tensors: Sequence[Tensor], draws: Sequence[Tensor]) -> Tensor:
        terms: Tensor = single.graph(*tensors, *draws)
        return terms

    gradient = torch.func.vmap(one, in_dims=(places, 0))

    def function(inputs: StepInputs, *draws: Tensor) -> Tensor:
        terms: Tensor = gradient(flatten(inputs), list(draws))
        if adam:
            scalars = StepScalars.unpack(inputs.scalars, len(inputs.leaves)).adam
            for leaf, values in enumerate(inputs.leaves):
                columns = AdamScalars(*(scalar.unsqueeze(1) for scalar in scalars[leaf]))
                moments = inputs.exp_avg[leaf], inputs.exp_avg_sq[leaf]
                adam_update(values, inputs.gradients[leaf], *moments, columns)
        return terms

    with warnings.catch_warnings():
        # Operations that vmap does not know are traced chain by chain.
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
        return trace_step(function, inputs, noise)
