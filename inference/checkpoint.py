"""Checkpoints of a running fit: one file, replaced in one step."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from bayesnas.inference.files import read_tensors, write_tensors
from bayesnas.inference.training import Training
from bayesnas.nn.names import below

CHECKPOINT = "checkpoint.safetensors"

ChainState = tuple[dict[str, Tensor], dict[str, Any]]
"""What ``Training.state`` gave: tensors by name, and JSON values."""


@dataclass
class ChainRecord:
    """What is kept of a chain: parameters and buffers, and its history.

    Attributes:
        fitted: what ``Training.fitted`` gave, on the CPU: the state of the model as
            ``model/...``, that of the maps of an amortised fit as ``maps/...``.
        history: ``[steps, 4]``: loss, expected log-likelihood, KL, KL weight.
        validation_nll: mean negative log-likelihood on the validation part, an epoch each.
    """

    fitted: dict[str, Tensor]
    history: Tensor
    validation_nll: list[float]

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """Both under names that begin with ``prefix``."""
        named = {f"{prefix}fitted/{name}": value for name, value in self.fitted.items()}
        return named | {f"{prefix}history": self.history}

    @classmethod
    def read(cls, prefix: str, tensors: dict[str, Tensor], nll: list[float]) -> ChainRecord:
        """Read what :meth:`tensors` named."""
        return cls(below(f"{prefix}fitted/", tensors), tensors[f"{prefix}history"], nll)


def write_checkpoint(
    folder: Path, finished: Sequence[ChainRecord], running: Sequence[Training]
) -> bool:
    """Write where a fit stands; a full disk warns, keeps the last checkpoint, and goes on.

    Args:
        folder: of the run.
        finished: chains that are done.
        running: the chains after them, that take their steps together.

    Returns:
        whether it was written.
    """
    tensors: dict[str, Tensor] = {}
    values = []
    for index, training in enumerate(running):
        state, value = training.state()
        tensors |= {f"running{index}/{name}": tensor for name, tensor in state.items()}
        values.append(value)
    for index, record in enumerate(finished):
        tensors |= record.tensors(f"chain{index}/")
    metadata = {"running": values, "finished": [record.validation_nll for record in finished]}
    try:
        write_tensors(folder / CHECKPOINT, tensors, metadata)
    except OSError as error:
        warnings.warn(
            f"{error}; the fit goes on, and the checkpoint before this one (if any) is intact",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


def read_checkpoint(folder: Path) -> tuple[list[ChainRecord], list[ChainState]]:
    """Read a checkpoint: the finished chains, and the states of the running ones.

    Raises:
        ValueError: naming the file, where it is cut off or no checkpoint.
    """
    tensors, metadata = read_tensors(folder / CHECKPOINT)
    try:
        finished = read_records(tensors, metadata["finished"])
        running = [
            (below(f"running{index}/", tensors), dict(values))
            for index, values in enumerate(metadata["running"])
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / CHECKPOINT} is no checkpoint of a fit: {error!r}") from error
    return finished, running


def read_records(
    tensors: dict[str, Tensor], validation_nll: Sequence[list[float]]
) -> list[ChainRecord]:
    """Chains written as ``chain0/...``, ``chain1/...``, as many as have a validation history."""
    return [
        ChainRecord.read(f"chain{index}/", tensors, nll) for index, nll in enumerate(validation_nll)
    ]
