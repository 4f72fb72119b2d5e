"""Running Pyro without leaving a trace: own random state, no global store, own settings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from bayesnas.checks import seed_number

# Pyro's handlers and settings and torch's generators belong to the process, not to a thread.
ONE_AT_A_TIME = threading.RLock()

_CPU = torch.device("cpu")


class RandomStream:
    """A random state of our own that is swapped in for torch's global one while in use.

    Pyro draws from torch's global generators. Swapping whole states keeps the numbers of a
    fit independent of what else draws, and leaves the caller's state as it was.

    Args:
        seed: start of the stream.
        device: device whose generator is swapped besides the CPU's.

    >>> import torch
    >>> stream, before = RandomStream(0, torch.device("cpu")), torch.get_rng_state()
    >>> with stream.active():
    ...     first = torch.rand(1)
    >>> bool((torch.get_rng_state() == before).all())
    True
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        """Seed the stream; see the class."""
        self._device = device
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Begin anew from another seed."""
        seed, device = seed_number("seed", seed), self._device
        self.state = {"cpu": torch.Generator().manual_seed(seed).get_state()}
        if device.type == "cuda":
            self.state["cuda"] = torch.Generator(device).manual_seed(seed).get_state()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Draw from this stream inside the block, and from the caller's again after it."""
        with ONE_AT_A_TIME:
            caller = self._capture()
            self._install(self.state)
            try:
                yield
            finally:
                self.state = self._capture()
                self._install(caller)

    def now(self) -> dict[str, Tensor]:
        """State of the generators at this moment: inside :meth:`active`, where the stream is."""
        return self._capture()

    def go_on_from(self, state: dict[str, Tensor]) -> None:
        """Inside :meth:`active`: draw from here on what was drawn after ``state``."""
        self._install(state)

    @contextmanager
    def rewound(self, state: dict[str, Tensor]) -> Iterator[None]:
        """Draw inside the block what was drawn after ``state``, and go on from here after it."""
        here = self._capture()
        self._install(state)
        try:
            yield
        finally:
            self._install(here)

    def _capture(self) -> dict[str, Tensor]:
        state = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self._device)
        return state

    def _install(self, state: dict[str, Tensor]) -> None:
        torch.set_rng_state(state["cpu"])
        if "cuda" in state and self._device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], self._device)


@contextmanager
def random_state_kept(device: torch.device = _CPU) -> Iterator[None]:
    """Leave torch's random state as it was, whatever is drawn inside the block.

    Args:
        device: device whose state is kept besides the CPU's.
    """
    with RandomStream(0, device).active():
        yield


def derived_seed(seed: int, index: int) -> int:
    """The seed of one of several streams that share a seed and no numbers.

    >>> derived_seed(0, 0) == derived_seed(0, 1)
    False
    """
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
