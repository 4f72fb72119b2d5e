"""Running Pyro without leaving a trace: own random state, no global store, own settings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pyro
import torch
from torch import Tensor

# Pyro's handlers and settings and torch's generators belong to the process, not to a thread.
_ONE_AT_A_TIME = threading.RLock()

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
        self.state = {"cpu": torch.Generator().manual_seed(seed).get_state()}
        if device.type == "cuda":
            self.state["cuda"] = torch.Generator(device).manual_seed(seed).get_state()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Draw from this stream inside the block, and from the caller's again after it."""
        with _ONE_AT_A_TIME:
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


@contextmanager
def pyro_session(stream: RandomStream, *, validate: bool = False) -> Iterator[None]:
    """Run Pyro code with its parameters local, its store untouched and ``stream`` in use.

    Everything is as before afterwards, whatever happens inside. Sessions of several threads
    wait for each other.

    Args:
        stream: the random state to draw from.
        validate: have Pyro and torch check shapes and supports; slow, for the first batch.
    """
    with (
        _ONE_AT_A_TIME,
        # Not pyro.validation_enabled, which takes torch's flag to equal Pyro's on leaving.
        pyro.settings.context(
            module_local_params=True,
            validate_distributions_pyro=validate,
            validate_distributions_torch=validate,
            validate_infer=validate,
            validate_poutine=validate,
        ),
        pyro.get_param_store().scope(),
        stream.active(),
    ):
        yield


def resolve_device(device: str | torch.device) -> torch.device:
    """Turn ``"auto"``, ``"cpu"``, ``"cuda"`` or a torch device into a device that is there.

    Raises:
        ValueError: for an unknown device, or a GPU that this machine does not have.

    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda', got {device!r}") from error
    if found.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda', got {str(device)!r}")
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device must be one that is there: got {str(device)!r}, but torch finds no GPU "
            "(device='auto' falls back to the CPU)"
        )
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device must be below cuda:{torch.cuda.device_count()}, got {str(device)!r}"
        )
    return found


def sent(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device, without waiting for the device.

    >>> sent(torch.ones(2), torch.device("cpu"))
    tensor([1., 1.])
    """
    if device.type != "cuda":
        return values
    return values.pin_memory().to(device, non_blocking=True)
