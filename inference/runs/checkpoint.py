"""Checkpoints of a running fit: one file, replaced in one step."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from bayesnas.inference.runs.chain_record import ChainRecord, ChainState, read_records
from bayesnas.nn.modules.parameter_names import below
from bayesnas.tensor_files import read_tensors, write_tensors

CHECKPOINT = "checkpoint.safetensors"


def write_checkpoint(
    folder: Path, finished: Sequence[ChainRecord], running: Sequence[ChainState]
) -> bool:
    """Write where a fit stands; a full disk warns, keeps the last checkpoint, and goes on.

    Args:
        folder: of the run.
        finished: chains that are done.
        running: states of the chains after them, that take their steps together.

    Returns:
        whether it was written.
    """
    tensors: dict[str, Tensor] = {}
    values = []
    for index, (state, value) in enumerate(running):
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
