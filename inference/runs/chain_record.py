"""What is kept of a chain: its parameters and its history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bayesnas.nn.modules.parameter_names import below

ChainState = tuple[dict[str, Tensor], dict[str, Any]]
"""What ``ChainTrainer.state`` gave: tensors by name, and JSON values."""


@dataclass
class ChainRecord:
    """What is kept of a chain: parameters and buffers, and its history.

    Attributes:
        fitted: what ``ChainTrainer.fitted`` gave, on the CPU: the state of the model as
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


def read_records(
    tensors: dict[str, Tensor], validation_nll: Sequence[list[float]]
) -> list[ChainRecord]:
    """Chains written as ``chain0/...``, ``chain1/...``, as many as have a validation history."""
    return [
        ChainRecord.read(f"chain{index}/", tensors, nll) for index, nll in enumerate(validation_nll)
    ]


HISTORY = ("loss", "expected_log_lik", "kl", "kl_weight")
"""What is recorded of every step; loss is −𝓛, all are full-sample estimates in nats."""


def check_records(records: Sequence[ChainRecord], steps: int) -> None:
    """Raise ValueError unless there is a chain, each with a history of at most so many steps."""
    if not records:
        raise ValueError("a chain")
    for record in records:
        shape = list(record.history.shape)
        if len(shape) != 2 or shape[1] != len(HISTORY) or not 0 < shape[0] <= steps:
            raise ValueError(f"a history of up to {steps} steps, got one of shape {shape}")
        if not record.history.is_floating_point():
            raise ValueError(f"a history of floating-point numbers, got {record.history.dtype}")
