"""Guides that are effect handlers of their model, as Pyro's ``AutoNormalMessenger``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from pyro import poutine
from pyro.poutine import Trace
from pyro.poutine.guide import GuideMessenger
from pyro.poutine.messenger import Messenger
from torch import nn


def as_guide(guide: Callable[..., Any], observed: Collection[str]) -> Callable[..., Any]:
    """A guide as a program of latent sites alone.

    One that is a handler runs the model itself, and with it what the model observes, notes and
    adds by ``pyro.factor``; without targets the site of these would look like a latent one.

    Args:
        guide: any guide; one that is no handler is returned as it is.
        observed: names of the sites that observe data.
    """
    if not isinstance(guide, GuideMessenger):
        return guide

    def of_latents(*args: Any) -> Any:
        model = guide._model
        guide._model = (_Observing(observed)(guide.model),)
        try:
            with poutine.block(hide_fn=_is_observed):
                return guide(*args)
        finally:
            guide._model = model

    return of_latents


def make_copyable(root: nn.Module) -> None:
    """Give handlers under ``root`` that have not run yet the trace that Pyro's copies expect."""
    for module in root.modules():
        if isinstance(module, GuideMessenger) and "trace" not in module.__dict__:
            module.trace = Trace()


def _is_observed(msg: Any) -> bool:
    return msg["type"] == "sample" and bool(msg["is_observed"])


class _Observing(Messenger):
    """Sample targets that are not given as the model says, and call them observed."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__()
        self.names = names

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.names and not msg["is_observed"]:
            msg["value"], msg["is_observed"], msg["done"] = msg["fn"](), True, True
