"""Parameters of a model in Pyro's global store, for those who train it by ``pyro.infer.SVI``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pyro
from torch import Tensor, nn


class PyroStore(nn.Module):
    """A part of every model: its parameters under names of their own in Pyro's store."""

    _name_in_pyro: str | None = None

    def register_with_pyro(self) -> None:
        """Hand the trainable parameters to Pyro's global store, for ``pyro.infer.SVI``.

        They are named ``ArdRegression$$$loc``; a second model of the class in the same program is
        ``ArdRegression_2``, and keeps that name. Their values stay those of the module, so
        ``state_dict`` and ``load_state_dict`` hold what SVI trained. Under
        ``pyro.settings.set(module_local_params=True)`` (our own fits among them) the parameters
        stay the module's and the store is left alone.
        """
        if pyro.settings.get("module_local_params"):
            return
        named = {name: p for name, p in self.named_parameters() if p.requires_grad}
        for value in named.values():
            if not value.is_contiguous():  # the store would hold a copy
                value.data = value.data.contiguous()
        self._name_in_pyro = _free_name(self._name_in_pyro or type(self).__name__, named)
        for name, value in named.items():
            pyro.param(f"{self._name_in_pyro}$$${name}", value)


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
