"""The fitted chains behind a posterior: their models, where they lie, and their files."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from bayesnas.checks import shown
from bayesnas.data import DataInfo, Inputs, Split, StreamedSplit
from bayesnas.data.conversion import column_names
from bayesnas.data.inputs import AnyInputs, leaves_of
from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.inference.config.inputs import (
    HEAD,
    Data,
    check_as_trained,
    check_columns,
    check_same_inputs,
    in_memory,
    inputs_of,
    split_of,
)
from bayesnas.inference.config.settings import FitSettings
from bayesnas.inference.optim.trainable_parameters import parameters_of
from bayesnas.inference.posterior.chain import FittedChain
from bayesnas.inference.runs.chain_record import HISTORY, ChainRecord
from bayesnas.inference.runs.description import RunDescription
from bayesnas.inference.runs.run_folder import Example, RunFolder
from bayesnas.models.base import BayesianModel
from bayesnas.nn.modules.parameter_names import below
from bayesnas.runtime.device import resolve_device
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream
from bayesnas.scalars import is_whole
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

_LAST_STEPS = 100  # over which the bound is averaged to compare chains
NEARBY = 0.5
"""How far from a λ the steps of a fit over many may be, in its log, to be counted as at it."""


class BasePosterior:
    """Chains of one run, the best of them, and how they are moved and saved.

    Attributes:
        run: what was fitted on what.
        best: index of the best chain: the one whose bound was highest over its last steps (at
            nearby KL weights, after a fit of many).
        example: two rows of the training data, ``(x, y)``; all, where the model needs them.
    """

    def __init__(
        self, run: RunDescription, chains: Sequence[FittedChain], example: Example
    ) -> None:
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

    @typed()
    def chain(self, index: int) -> Self:
        """Return the posterior of one chain alone.

        Raises:
            ValueError: for an index that no chain has.
        """
        if not is_whole(index) or not 0 <= index < self.chains:
            raise ValueError(f"index must be in 0…{self.chains - 1}, got {shown(index)}")
        return type(self)(self.run, [self._chains[index]], self.example)

    @typed()
    def to(self, device: str | torch.device) -> Self:
        """Return a copy on another device.

        Raises:
            ValueError: for a device that there is none of.
        """
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

    @typed()
    def save(self, path: str | Path) -> None:
        """Write the run to a folder: JSON and safetensors, no pickle.

        Raises:
            FileExistsError: if the folder holds a run.
            OSError: where it can't be written.
            TypeError: for what is no path.
        """
        RunFolder.open(path, self.run).finish(self.records(), self.example)

    def _tensors(self, data: Data, name: str = "data") -> Example:
        """Inputs and targets in memory, on the device of the model."""
        try:
            split = self._sample(in_memory(data, name))
        except (TypeError, ValueError) as error:
            if name == "data" or str(error).startswith(name):
                raise
            raise type(error)(f"{name}: {error}") from error
        assert isinstance(split, Split)
        return split.x, split.y

    def _sample(self, data: Data) -> AnySplit:
        """Data that fit the model, on its device."""
        split = split_of(self.model, data).to(self.device)
        if not isinstance(data, Split):  # that of a data set may have been renamed
            check_columns(split.info.feature_names, self.data.feature_names)
        # Of what is read when needed some rows stand for all.
        few = split if isinstance(split, Split) else split.first(HEAD)
        self._check_inputs(few.x, len(split))
        self.model.check(few.x, few.y)
        check_as_trained("y", few.y, self.example[1])
        return split

    @property
    def device(self) -> torch.device:
        """Where the posterior lies."""
        return self.example[1].device

    def _inputs(self, x: Any) -> Iterator[AnyInputs]:
        """Inputs alone, where the training data lay and of their type; streamed ones in parts."""
        if isinstance(x, StreamedSplit):
            sample = self._sample(x)
            yield from (rows for rows, _ in sample.parts(self.model.rows_at_once(len(sample))))
            return
        names, encoding = column_names(x), self.data.encoding
        if encoding is not None and names not in (None, self.data.feature_names):
            raise ValueError(
                f"x must have a number for each of {len(encoding.feature_names)} features, as "
                "bayesnas.data.read_rows(x, post.data)[0] makes them of a table that came as those "
                f"of training did, got columns {list(names or ())[:5]}"
            )
        inputs = inputs_of(self.model, x, self.data.feature_names)
        self._check_inputs(inputs, len(inputs) if isinstance(inputs, Inputs) or inputs.ndim else 0)
        yield inputs.to(self.device)

    def _check_inputs(self, x: AnyInputs, rows: int) -> None:
        check_same_inputs(x, self.example[0])
        if not self.model.whole_sample:
            return
        known = leaves_of(self.example[0])
        if rows != len(self.example[0]):
            got = f"{rows} rows"
        elif all(map(_equal, leaves_of(x), known)):
            return
        else:
            got = "others"
        raise ValueError(
            f"x must be the {len(self.example[0])} rows of the training data, in their order, "
            f"got {got}: {self.model.whole_sample}"
        )

    def __repr__(self) -> str:
        """Model, data and KL weight on one line."""
        chains = "" if self.chains == 1 else f", {self.chains} chains"
        return (
            f"{type(self).__name__}({self.model.describe()} on {self.data.name}, "
            f"kl_weight={self.settings.kl_weight_text()}{chains})"
        )


def _equal(first: Tensor, second: Tensor) -> bool:
    return torch.equal(first.to(second.device), second)


def padded_history(histories: Sequence[Tensor]) -> Tensor:
    """Histories of all chains as ``[chain, step, 4]``; NaN after a chain's end."""
    length = max(len(history) for history in histories)
    shape, dtype = (len(histories), length, len(HISTORY)), histories[0].dtype
    rows = torch.full(shape, torch.nan, dtype=dtype)
    for index, history in enumerate(histories):
        rows[index, : len(history)] = history
    return rows


def _restored(run: RunDescription, record: ChainRecord, example: Example) -> FittedChain:
    fresh = copy.deepcopy(run.model).to(example[1].device)
    with pyro_session(RandomStream(0, example[1].device)):
        fresh.prepare(*example)
        fresh.load_state_dict(below("model/", record.fitted))
        trained = None
        if run.settings.amortization is not None:
            settings = run.settings
            trained = parameters_of(fresh, settings.amortization, settings.upper)
            trained.load_state(below("maps/", record.fitted))
    return FittedChain(fresh.eval(), record.history, record.validation_nll, trained)


def _final_loss(history: Tensor, kl_weight: float | None) -> float:
    weights = history[:, HISTORY.index("kl_weight")]
    if kl_weight:
        near = (weights / kl_weight).log().abs() < NEARBY
        history = history[near] if bool(near.any()) else history
    loss = history[-_LAST_STEPS:, HISTORY.index("loss")].mean().item()
    return loss if loss == loss else float("inf")
