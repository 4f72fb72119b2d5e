"""What was fitted on what: the content of ``run.json``, and how two runs differ."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bayesnas.data import DataInfo
from bayesnas.inference.config.settings import FitSettings
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.random_state import random_state_kept

FORMAT = 2
"""Version of the run format; a run of a later one is refused."""

_LIBRARIES = ("bayesnas", "torch", "pyro-ppl")


@dataclass
class RunDescription:
    """What was fitted on what.

    Attributes:
        model: the model, not fitted.
        settings: of the fit.
        data: name, task, classes, standardisation of the training data.
        fingerprint: hash of the training data.
        validation: hash of the validation data, empty where there is none.
        start: kind of device, and hash of the values that the first chain starts from there.
        weights: hash of the weights of the examples, empty where all count alike.
    """

    model: BayesianModel
    settings: FitSettings
    data: DataInfo
    fingerprint: str
    validation: str = ""
    start: str = ""
    weights: str = ""

    def to_dict(self, status: str) -> dict[str, Any]:
        """Return the content of ``run.json``."""
        return {
            "format": FORMAT,
            "status": status,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
            "model": describe_model(self.model),
            "settings": self.settings.to_dict(),
            "data": self.data.to_dict(),
            "fingerprint": self.fingerprint,
            "validation": self.validation,
            "start": self.start,
            "weights": self.weights,
        }


def describe_model(model: BayesianModel) -> dict[str, Any]:
    """Class and constructor arguments of a model, or the reason why it has no description."""
    name = type(model).__name__
    try:
        with random_state_kept():  # a description is tried out by building from it
            config = model.config()
    except TypeError as reason:
        return {"class": name, "config": None, "reason": str(reason)}
    kinds = {p.dtype for p in model.parameters() if p.is_floating_point()}
    dtype = {"dtype": "float64"} if kinds == {torch.float64} else {}
    try:
        return {"class": name, "config": json.loads(json.dumps(config)), **dtype}
    except (TypeError, ValueError) as error:
        raise TypeError(f"model: {name}.config() must give JSON values: {error}") from error


def state_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values of tensors."""
    digest = hashlib.sha256()
    for name, tensor in state.items():
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
