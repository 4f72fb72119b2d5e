"""Parameters of a model in Pyro's global store, for those who train it by ``pyro.infer.SVI``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pyro
from torch import Tensor, nn


def register(model: nn.Module, name: str) -> str:
    """Hand the trainable parameters to the store; their values stay those of the module.

    Args:
        model: of the parameters.
        name: before those of the parameters, unless another model has it.

    Returns:
        the name they have.
    """
    named = {key: p for key, p in model.named_parameters() if p.requires_grad}
    for value in named.values():
        if not value.is_contiguous():  # the store would hold a copy
            value.data = value.data.contiguous()
    free = _free_name(name, named)
    for key, value in named.items():
        pyro.param(f"{free}$$${key}", value)
    return free


def _free_name(wanted: str, parameters: Mapping[str, Tensor]) -> str:
    """The first of a name, ``name_2``, ... under which Pyro's store holds no other parameters."""
    store = pyro.get_param_store()

    def is_free(prefix: str) -> bool:
        keys = {f"{prefix}$$${name}": value for name, value in parameters.items()}
        return all(key not in store or store[key] is value for key, value in keys.items())

    if is_free(wanted):
        return wanted
    base = wanted.rpartition("_")[0] if wanted.rpartition("_")[2].isdigit() else wanted
    names = (base if number == 1 else f"{base}_{number}" for number in itertools.count(1))
    return next(name for name in names if is_free(name))
