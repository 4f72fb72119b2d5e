"""The fitted chains behind a posterior: their models, where they lie, and their files."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from bayesnas.data import DataInfo, Split
from bayesnas.inference.checkpoint import ChainRecord
from bayesnas.inference.description import RunDescription
from bayesnas.inference.inputs import Data, as_split
from bayesnas.inference.runs import Example, RunFolder
from bayesnas.inference.session import RandomStream, pyro_session, resolve_device
from bayesnas.inference.settings import FitSettings
from bayesnas.inference.trained import TrainedParameters, trainable
from bayesnas.inference.training import HISTORY
from bayesnas.models.base import BayesianModel
from bayesnas.models.pyro_pair import PyroPair
from bayesnas.nn.names import below

if TYPE_CHECKING:
    import xarray as xr

_LAST_STEPS = 100  # over which the bound is averaged to compare chains
_NEAR = 0.5  # how far from a λ these steps may be, in its log


@dataclass
class Chain:
    """One fitted start.

    Attributes:
        model: fitted model, in evaluation mode.
        history: ``[steps, 4]``, see :data:`~bayesnas.inference.training.HISTORY`.
        validation_nll: mean negative log-likelihood on validation data, an epoch each.
        trained: parameters as functions of the KL weight; None after a fit at one.
    """

    model: BayesianModel
    history: Tensor
    validation_nll: list[float]
    trained: TrainedParameters | None = None

    def at(self, kl_weight: float) -> Chain:
        """The chain with its parameters at one KL weight.

        Raises:
            ValueError: for a λ outside the range of the fit.
        """
        assert self.trained is not None
        self.trained.write(kl_weight)
        return Chain(copy.deepcopy(self.model), self.history, self.validation_nll)

    def record(self) -> ChainRecord:
        """Parameters and history, on the CPU."""
        maps = {} if self.trained is None else self.trained.state()
        fitted = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        fitted |= {f"maps/{name}": value for name, value in maps.items()}
        cpu = {name: value.detach().cpu().clone() for name, value in fitted.items()}
        return ChainRecord(cpu, self.history, self.validation_nll)


class FittedChains:
    """Chains of one run, the best of them, and how they are moved and saved.

    Attributes:
        run: what was fitted on what.
        best: index of the best chain: the one whose bound was highest over its last steps (at
            nearby KL weights, after a fit of many).
        example: two rows of the training data, ``(x, y)``.
    """

    def __init__(self, run: RunDescription, chains: Sequence[Chain], example: Example) -> None:
        """Hold fitted chains; see the class."""
        self.run = run
        self._chains = list(chains)
        self.example = example
        losses = [_final_loss(chain.history, run.settings.kl_weight) for chain in chains]
        self.best = losses.index(min(losses))

    @classmethod
    def restore(
        cls,
        run: RunDescription,
        records: Sequence[ChainRecord],
        example: Example,
        device: torch.device,
    ) -> Self:
        """Build fitted models from their saved states."""
        example = (example[0].to(device), example[1].to(device))
        return cls(run, [_restored(run, record, example) for record in records], example)

    @property
    def model(self) -> BayesianModel:
        """Fitted model of the best chain; ``model.model`` and ``model.guide`` are plain Pyro."""
        return self._chains[self.best].model

    @property
    def chains(self) -> int:
        """Number of chains."""
        return len(self._chains)

    @property
    def settings(self) -> FitSettings:
        """Settings of the fit."""
        return self.run.settings

    @property
    def data(self) -> DataInfo:
        """What is known of the training data: name, classes, standardisation."""
        return self.run.data

    def chain(self, index: int) -> Self:
        """Return the posterior of one chain alone."""
        if not 0 <= index < self.chains:
            raise ValueError(f"index must be in 0…{self.chains - 1}, got {index!r}")
        return type(self)(self.run, [self._chains[index]], self.example)

    def to(self, device: str | torch.device) -> Self:
        """Return a copy on another device."""
        where = resolve_device(device)
        return type(self).restore(self.run, self.records(), self.example, where)

    def history(self) -> xr.Dataset:
        """Loss (−𝓛), its two terms and λ of every step, dims ``(chain, step)``, in nats.

        Chains that stopped early end in NaN.
        """
        import xarray as xr

        rows = padded_history([chain.history for chain in self._chains])
        return xr.Dataset(
            {name: (("chain", "step"), rows[:, :, i].numpy()) for i, name in enumerate(HISTORY)}
        )

    def records(self) -> list[ChainRecord]:
        """Parameters and history of every chain, on the CPU."""
        return [chain.record() for chain in self._chains]

    def save(self, path: str | Path) -> None:
        """Write the run to a folder: JSON and safetensors, no pickle.

        Raises:
            FileExistsError: if the folder holds a run.
            OSError: where it can't be written.
        """
        RunFolder.open(path, self.run).finish(self.records(), self.example)

    def _tensors(self, data: Data) -> Example:
        return self._on_device(self._split(data))

    def _split(self, data: Data) -> Split:
        split = as_split(self.model, data)
        self._check_inputs(split.x)
        return split

    def _on_device(self, split: Split) -> Example:
        like_x, like_y = self.example
        if isinstance(self.model, PyroPair):  # as it came; _check_inputs has seen x
            if split.y.shape[1:] != like_y.shape[1:] or split.y.dtype != like_y.dtype:
                raise ValueError(
                    f"y must be {like_y.dtype} of shape {['n', *like_y.shape[1:]]}, as in "
                    f"training, got {split.y.dtype} of shape {list(split.y.shape)}"
                )
            return split.x.to(like_x.device), split.y.to(like_y.device)
        x, y = split.x.to(like_x.device), split.y.to(like_y)
        self.model.check(x, y)
        return x, y

    def _check_inputs(self, x: Tensor) -> None:
        if not isinstance(x, Tensor):
            raise TypeError(f"x must be a torch tensor, got {type(x).__name__}")
        expected = self.example[0].shape[1:]
        if x.shape[1:] != expected or len(x) == 0:
            raise ValueError(
                f"x must have shape {['n', *expected]} with n >= 1, as in training, "
                f"got {list(x.shape)}"
            )
        if not isinstance(self.model, PyroPair):
            return
        if x.dtype != self.example[0].dtype:
            raise ValueError(f"x must be {self.example[0].dtype}, as in training, got {x.dtype}")
        tied = self.model.row_sites.tied
        if tied and len(x) != len(self.example[0]):
            raise ValueError(
                f"x must have the {len(self.example[0])} rows of the training data, for each of "
                f"which the guide has a value in {', '.join(tied)}, got {len(x)} rows"
            )

    def __repr__(self) -> str:
        """Model, data and KL weight on one line."""
        chains = "" if self.chains == 1 else f", {self.chains} chains"
        return (
            f"{type(self).__name__}({self.model.describe()} on {self.data.name}, "
            f"kl_weight={self.settings.kl_weight_text()}{chains})"
        )


def padded_history(histories: Sequence[Tensor]) -> Tensor:
    """Histories of all chains as ``[chain, step, 4]``; NaN after a chain's end."""
    length = max(len(history) for history in histories)
    rows = torch.full((len(histories), length, len(HISTORY)), torch.nan)
    for index, history in enumerate(histories):
        rows[index, : len(history)] = history
    return rows


def _restored(run: RunDescription, record: ChainRecord, example: Example) -> Chain:
    fresh = copy.deepcopy(run.model).to(example[0].device)
    with pyro_session(RandomStream(0, example[0].device)):
        fresh.prepare(*example)
        fresh.load_state_dict(below("model/", record.fitted))
        trained = None
        if run.settings.amortization is not None:
            settings = run.settings
            trained = TrainedParameters(trainable(fresh), settings.amortization, settings.upper)
            trained.load_state(below("maps/", record.fitted))
    return Chain(fresh.eval(), record.history, record.validation_nll, trained)


def _final_loss(history: Tensor, kl_weight: float | None) -> float:
    weights = history[:, HISTORY.index("kl_weight")]
    if kl_weight:
        near = (weights / kl_weight).log().abs() < _NEAR
        history = history[near] if bool(near.any()) else history
    loss = history[-_LAST_STEPS:, HISTORY.index("loss")].mean().item()
    return loss if loss == loss else float("inf")
