"""Where a search in a supernet stands, as a file from which it goes on."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.checks import flag, whole_number
from bayesnas.files import path_of
from bayesnas.inference.optim.optimizer_state import optimizer_state, restore_optimizer
from bayesnas.inference.runs.description import state_hash
from bayesnas.inference.search.judges.supernet import fingerprint
from bayesnas.inference.search.strategies.shared_weights.samples import Sample
from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.modules.parameter_names import below
from bayesnas.runtime.random_state import RandomStream
from bayesnas.tensor_files import check_same_settings, read_tensors, write_tensors

CHECKPOINT = "search.safetensors"
FORMAT = "bayesnas shared weights 1"

State = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors, and JSON values."""


class SearchCheckpoint:
    """The file of a search: written every few rounds, read where a search goes on.

    Args:
        out: folder of it, made where it is not there; None writes nothing.
        settings: what decides the numbers but graph and examples, as JSON values.
        graph: of the search.
        samples: the examples, by name.
        every: rounds between two checkpoints.
        resume: go on where the folder has a checkpoint.

    Attributes:
        folder: of the file, or None.

    Raises:
        ValueError: ``resume`` without ``out``.
        FileExistsError: the folder has a search, and ``resume`` is False; it stays as it is.
    """

    def __init__(
        self,
        out: str | os.PathLike[str] | None,
        settings: Mapping[str, Any],
        graph: Graph,
        samples: Mapping[str, Sample],
        *,
        every: int,
        resume: bool,
    ) -> None:
        """Look at the folder; see the class."""
        self._settings: dict[str, Any] = {}
        self._every = whole_number("checkpoint_every", every)
        self.folder = None if out is None else path_of("out", out)
        if self.folder is None:
            if flag("resume", resume):
                raise ValueError("resume needs out, the folder of the search to go on with")
            return
        if (self.folder / CHECKPOINT).exists() and not flag("resume", resume):
            raise FileExistsError(
                f"out: {self.folder} has a search; give another folder, or resume=True"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        known = {**settings, **_fingerprints(graph, samples)}
        self._settings = json.loads(json.dumps(known))

    def read(self, stream: RandomStream) -> State | None:
        """What was written, None where nothing was; the stream goes on from there.

        Args:
            stream: of the search, active.

        Raises:
            ValueError: the file is damaged, or of a search with other settings, which it names.
        """
        if self.folder is None or not (self.folder / CHECKPOINT).exists():
            return None
        path = self.folder / CHECKPOINT
        tensors, metadata = read_tensors(path)
        if metadata.get("format") != FORMAT or not {"settings", "values"} <= metadata.keys():
            raise ValueError(f"out: {path} is no checkpoint of a search with shared weights")
        check_same_settings(path, "a search", metadata["settings"], self._settings)
        stream.go_on_from(below("random/", tensors))
        return tensors, metadata["values"]

    def write(self, state: State, stream: RandomStream) -> None:
        """Keep a state; a full disk warns, keeps the last one, and the search goes on.

        Args:
            state: of the search after a round.
            stream: of the search, active.
        """
        if self.folder is None:
            return
        tensors = {**state[0], **{f"random/{name}": each for name, each in stream.now().items()}}
        metadata = {"format": FORMAT, "settings": self._settings, "values": state[1]}
        try:
            write_tensors(self.folder / CHECKPOINT, tensors, metadata)
        except OSError as error:
            warnings.warn(
                f"{error}; the search goes on, and the checkpoint before this one (if any) is "
                "intact",
                RuntimeWarning,
                stacklevel=2,
            )

    def is_due(self, done: int, last: int) -> bool:
        """Whether to write after so many rounds of all."""
        return self.folder is not None and (done % self._every == 0 or done == last)


Trained = Mapping[str, tuple[nn.Module, torch.optim.Optimizer]]
"""Modules and the optimisers that move them, by name."""


def states_of(trained: Trained) -> State:
    """Modules and their optimisers as tensors and JSON values."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for name, (module, optimizer) in trained.items():
        moments, values[name] = optimizer_state(optimizer)
        tensors |= {f"{name}/module/{key}": each for key, each in module.state_dict().items()}
        tensors |= {f"{name}/optimizer/{key}": each for key, each in moments.items()}
    return tensors, values


def restore_states(
    trained: Trained, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Give equally built modules and optimisers what :func:`states_of` gave."""
    for name, (module, optimizer) in trained.items():
        module.load_state_dict(below(f"{name}/module/", tensors))
        restore_optimizer(optimizer, below(f"{name}/optimizer/", tensors), values[name])


def module_fingerprint(module: nn.Module) -> str:
    """Sixteen hexadecimal digits of what a module shows of itself and of its weights.

    >>> module_fingerprint(nn.ReLU()) == module_fingerprint(nn.Tanh())
    False
    """
    content = f"{module} {state_hash(module.state_dict())}"
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _fingerprints(graph: Graph, samples: Mapping[str, Sample]) -> dict[str, str]:
    """Fingerprints of a graph and of the examples, by name."""
    hashes = {name: state_hash({"x": each.x, "y": each.y}) for name, each in samples.items()}
    return {"graph": fingerprint(graph), **hashes}
