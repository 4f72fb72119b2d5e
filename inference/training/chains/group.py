"""Chains that take their steps together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor

from bayesnas.inference.config.settings import FitSettings
from bayesnas.inference.steps.minibatches import StackedBatches
from bayesnas.inference.steps.vmap_step import NotVmappableError, VmappedStep
from bayesnas.inference.training.chains.trainer import ChainTrainer
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.matmul_precision import fast_products
from bayesnas.runtime.pyro_context import pyro_session


class ChainGroup:
    """Chains that take their steps together, or by turns; or one, by itself.

    Every chain stays a :class:`~bayesnas.inference.training.chains.trainer.ChainTrainer` with its
    model, random stream, order of examples, history and early stopping; only the steps are shared.
    A chain that has stopped takes no part in them any more.

    Args:
        chains: at the same step, those that have stopped aside.
        stacked: takes their steps as one; None for one chain, or for several by turns.

    Attributes:
        chains: as given.
    """

    def __init__(self, chains: Sequence[ChainTrainer], stacked: VmappedStep | None = None) -> None:
        """Keep the chains; see :meth:`together` for several."""
        self.chains = list(chains)
        self._stacked = stacked
        self._batches = StackedBatches([chain.batches for chain in self.chains])

    @classmethod
    def together(cls, chains: Sequence[ChainTrainer], *, trusted: bool = False) -> Self:
        """Let several chains take their steps together.

        Args:
            chains: of one fit.
            trusted: that they did so before, in the fit that is resumed.

        Raises:
            NotVmappableError: with the reason, where they can't; they are as before then.
        """
        try:
            stacked = VmappedStep([chain.step_fn for chain in chains], trusted=trusted)
            group = cls(chains, stacked)
            with fast_products(chains[0].history.device):
                for step in (0, chains[0].batches.per_epoch - 1):  # the last may be smaller
                    stacked.record(*group._batches.at(step), shared=group._batches.shared)
        except NotVmappableError:
            raise
        except Exception as error:  # whatever can't be traced or mapped, or has no room
            raise NotVmappableError(f"{type(error).__name__}: {error}") from error
        stacked.take_over()
        return group

    @property
    def as_one(self) -> bool:
        """Whether the steps of several chains are one."""
        return self._stacked is not None

    @property
    def running(self) -> list[ChainTrainer]:
        """The chains that have steps left."""
        return [chain for chain in self.chains if not chain.finished]

    @property
    def step(self) -> int:
        """Steps taken by the chains that are running; at the end, most steps taken by any."""
        return max(chain.step for chain in self.chains)

    def advance(self, count: int, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Take up to ``count`` steps; fewer at the end, or once ``interrupted()``.

        Raises:
            NonFiniteLossError: at the first step of a chain whose bound is NaN or infinite.
        """
        if self._stacked is None:
            by_turns = len(self.chains) > 1  # which stay at one step
            for chain in self.running:
                chain.advance(count, (lambda: False) if by_turns else interrupted)
            return
        running = self._released(self._stacked)
        first = self.step
        stop = min(first + count, running[0].settings.steps)
        for chain in running:
            chain.model.train()
        terms: list[Tensor] = []
        with (
            self._stacked.drawing(),
            pyro_session(running[0].stream),
            fast_products(running[0].history.device),
        ):
            while first + len(terms) < stop and not interrupted():
                terms.append(self._take_step(self._stacked, running, first + len(terms)))
        if not terms:
            return
        losses = torch.stack(terms, dim=1)
        for index in self._stacked.running:
            settings = self.chains[index].settings
            weights = [settings.kl_weight_at(first + k).bound for k in range(len(terms))]
            self.chains[index].record_steps(losses[index], weights)

    def _take_step(self, stacked: VmappedStep, running: list[ChainTrainer], step: int) -> Tensor:
        finer = [chain.follow_schedules(step) for chain in running]
        if any(finer):
            stacked.recount()
        kl_weights = [chain.settings.kl_weight_at(step) for chain in self.chains]
        return stacked(*self._batches.at(step), kl_weights, running[0].rate_at(step))

    def _released(self, stacked: VmappedStep) -> list[ChainTrainer]:
        """Let go of the chains that have stopped; return the others."""
        for index in list(stacked.running):
            if self.chains[index].finished:
                stacked.release(index)
        return self.running


def pays(settings: FitSettings, device: torch.device) -> bool:
    """Whether chains are trained together where nobody says: traced steps on a GPU.

    A CPU is busy with one chain, and there their numbers stay those of any other number of them
    (docs/benchmarks.md).
    """
    return device.type == "cuda" and settings.compile != "eager"


def check_together(settings: FitSettings, model: BayesianModel) -> None:
    """Raise NotVmappableError, with the reason, for chains that can't take their steps together."""
    if settings.bilevel is not None:
        raise NotVmappableError("a bilevel fit has a step of its upper level too")
    if settings.compile == "eager":
        raise NotVmappableError("steps that are not traced (compile=False) are of one chain")
    if model.elbo is not None:
        raise NotVmappableError("a pair with an elbo of its own is not traced")
