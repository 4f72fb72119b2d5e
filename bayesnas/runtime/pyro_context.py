"""Pyro's global state, set for a fit and restored after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pyro

from bayesnas.runtime.random_state import ONE_AT_A_TIME, RandomStream


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
        ONE_AT_A_TIME,
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


def supports_checked() -> AbstractContextManager[None]:
    """Have torch refuse values outside of a support, which ``torch.compile`` turns off for good.

    >>> import torch
    >>> with supports_checked():
    ...     torch.distributions.Exponential(1.0).log_prob(torch.tensor(-1.0))
    Traceback (most recent call last):
    ...
    ValueError: Expected value argument ...
    """
    return pyro.settings.context(validate_distributions_torch=True)
