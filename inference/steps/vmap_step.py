"""One step of many chains at once: the recorded step of one, mapped over stacked tensors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from bayesnas.inference.compile.cuda_graph import CapturedStep
from bayesnas.inference.compile.random_ops import StackedNoise, random_operations
from bayesnas.inference.compile.trace import RecordedStep, record, relative_difference
from bayesnas.inference.config.settings import StepKLWeight
from bayesnas.inference.optim.adam import UNMOVED, StepCounts, adam_scalars, adam_update
from bayesnas.inference.optim.step_tensors import StepTensors
from bayesnas.inference.optim.trainable_parameters import ActiveLeaves
from bayesnas.inference.runtime.device import sent
from bayesnas.inference.runtime.pyro_context import pyro_session
from bayesnas.inference.steps.step import TOLERANCE, Graph, Step


class NotVmappableError(Exception):
    """Why the steps of several chains can't be taken as one."""


class VmappedStep:
    """Takes the steps of many chains at once.

    The gradient of one chain's step is recorded as ever and mapped over a leading dimension by
    ``torch.func.vmap``; with Adam's update it is recorded again, as plain tensor operations, and
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
        self._held = StepTensors.stacked([step.tensors() for step in steps])
        self._graphs: dict[torch.Size, Graph] = {}
        self._counts: StepCounts = {}
        self.running = list(range(len(steps)))

    def record(self, x: Tensor, y: Tensor, *, shared: bool) -> None:
        """Make the step for one shape of batches.

        Args:
            x: inputs ``[chains, b, ...]``, or ``[b, ...]`` where all chains see the same.
            y: targets alike.
            shared: whether they do.

        Raises:
            NotStackedError: where the steps can't be taken at once, with the reason; nothing
                has happened to the chains then.
        """
        if x.shape not in self._graphs:
            self._graphs[x.shape] = self._record(x, y, shared)

    def take_over(self) -> None:
        """Make the tensors of every chain rows of the stacked ones."""
        for chain, step in enumerate(self._steps):
            step.move(self._held.row(chain))
            step.log_lik_sites = self._first.log_lik_sites
            step.kl_sites = self._first.kl_sites

    def release(self, chain: int) -> None:
        """Give a chain that takes no more steps tensors of its own; its rows are left to run."""
        self._steps[chain].move(self._held.row(chain).clone())
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
        self, x: Tensor, y: Tensor, kl_weights: Sequence[StepKLWeight], factor: float
    ) -> Tensor:
        """Take a step of every chain; of those released it has no effect.

        Args:
            x: inputs, of a shape recorded.
            y: targets.
            kl_weights: of every chain.
            factor: of the learning-rate schedule.

        Returns:
            the terms of the bounds, ``[chains, sites]``.
        """
        for chain in self.running:
            self._steps[chain].rates.scale(factor)
        lead = self._steps[self.running[0]]
        use = lead.use(kl_weights[self.running[0]].target)
        adam = UNMOVED * len(use.leaves)
        if lead.adam:
            lr = lead.optimizer.param_groups[0]["lr"]
            adam = adam_scalars(self._held.step, use, lr, self._counts)
        scalars = self._scalars([kl_weight.bound for kl_weight in kl_weights], adam, use)
        rows = self._graphs[x.shape](*self._held.arguments(use), x, y, scalars)
        if not lead.adam:
            for chain in self.running:
                step = self._steps[chain]
                step.update(step.use(kl_weights[chain].target))
        return rows

    def _scalars(self, kl_weights: Sequence[float], adam: list[float], use: ActiveLeaves) -> Tensor:
        rows = [[kl_weight, *adam, *use.inputs] for kl_weight in kl_weights]
        return sent(torch.tensor(rows), self._device)

    # Making -------------------------------------------------------------------------------

    def _record(self, x: Tensor, y: Tensor, shared: bool) -> Graph:
        first, weights = self._first, [step.settings.another_kl_weight for step in self._steps]
        use = first.use(weights[0])
        with pyro_session(first.stream):
            single = first.recorded(*_of_chain(0, x, y, shared), use, adam=False)
        if random_operations(single.graph.graph):
            raise NotVmappableError("what it draws depends on values")
        tensors = [*self._held.arguments(use), x, y]
        tensors.append(self._scalars(weights, UNMOVED * len(use.leaves), use))
        noise = StackedNoise(single.noise.draws, self._generators)
        leaves = len(use.leaves) if first.adam else 0
        recorded = _vmap_step(single, tensors, noise, leaves, shared)
        rounded = first.settings.precision == "bfloat16"
        if rounded:  # compared while it still gives the eager numbers
            self._compare(recorded, tensors, len(use.leaves), shared)
            single.round_products()
            recorded = _vmap_step(single, tensors, noise, leaves, shared)
        if first.compiles(x.shape[0 if shared else 1]):
            recorded.compile(tensors)
        if not rounded:
            self._compare(recorded, tensors, len(use.leaves), shared)
        return CapturedStep(recorded) if first.settings.compile == "cudagraph" else recorded

    def _compare(
        self, recorded: RecordedStep, tensors: Sequence[Tensor], leaves: int, shared: bool
    ) -> None:
        """Raise NotStackedError unless every chain gets the numbers of its eager step."""
        if self._trusted:
            return
        found = [tensor.clone() for tensor in tensors]
        self._seed_generators()
        found = [recorded(*found), *found[leaves : 2 * leaves]]
        for chain, step in enumerate(self._steps):
            batch = _of_chain(chain, tensors[-3], tensors[-2], shared)
            with pyro_session(step.stream):
                eager = step.eager.numbers(*batch, step.settings.another_kl_weight)
            pairs = zip((tensor[chain] for tensor in found), eager, strict=True)
            # What is not finite is an error of the first step, which says of which site.
            finite = all(bool(value.isfinite().all()) for value in eager)
            difference = max(relative_difference(a, b) for a, b in pairs)
            if finite and difference > TOLERANCE:
                raise NotVmappableError(
                    f"the step of chain {chain} among others differs from its own by "
                    f"{difference:.1e}"
                )

    def _seed_generators(self) -> None:
        for generator, step in zip(self._generators, self._steps, strict=True):
            generator.set_state(step.stream.state[self._device.type])


def _of_chain(chain: int, x: Tensor, y: Tensor, shared: bool) -> tuple[Tensor, Tensor]:
    return (x, y) if shared else (x[chain], y[chain])


def _vmap_step(
    single: RecordedStep,
    tensors: Sequence[Tensor],
    noise: StackedNoise,
    leaves: int,
    shared: bool,
) -> RecordedStep:
    """Map the gradient of one chain's step over all, and put Adam's update behind it.

    Args:
        single: writes the gradients of one chain.
        tensors: the arguments of the step of all, noise left out.
        noise: of all.
        leaves: how many Adam updates; 0 for another optimiser.
        shared: whether all chains see the same examples.
    """
    count, batch = len(tensors), None if shared else 0
    places = [0] * (count - 3) + [batch, batch, 0] + [0] * len(noise.draws)
    gradient = torch.func.vmap(single.graph, in_dims=tuple(places))

    def function(*arguments: Tensor) -> Tensor:
        terms: Tensor = gradient(*arguments)
        factors = arguments[count - 1].split(1, dim=1)[1:]  # the first is λ
        for leaf in range(leaves):
            held, slope, first, second = arguments[leaf : 4 * leaves : leaves]
            adam_update(held, slope, first, second, *factors[4 * leaf : 4 * leaf + 4])
        return terms

    with warnings.catch_warnings():
        # Operations that vmap does not know are recorded chain by chain.
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
        return record(function, tensors, noise)
