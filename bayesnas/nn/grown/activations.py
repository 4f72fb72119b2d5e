"""The ten activations of weight-agnostic networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from bayesnas.checks import choice
from bayesnas.words import did_you_mean


def _step(x: Tensor) -> Tensor:
    return (x > 0).to(x.dtype)


def _sine(x: Tensor) -> Tensor:
    return (math.pi * x).sin()


def _cosine(x: Tensor) -> Tensor:
    return (math.pi * x).cos()


def _gaussian(x: Tensor) -> Tensor:
    return (-0.5 * x.square()).exp()


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "step": _step,
    "sin": _sine,
    "cosine": _cosine,
    "gaussian": _gaussian,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "absolute": torch.abs,
    "inverted": torch.neg,
    "relu": torch.relu,
}
r"""By name: x, 1 where x > 0 (else 0), sin πx, cos πx, exp(−x²/2), tanh x, 1/(1 + exp(−x)), |x|,
−x and max(0, x) (Gaier, Ha 2019, figure 3)."""


def activation_name(name: str, value: object) -> str:
    """The name of an activation.

    Raises:
        ValueError: there is none; the message says the nearest.

    >>> activation_name("activations", "tahn")
    Traceback (most recent call last):
    ...
    ValueError: activations must be one of ['linear', 'step', 'sin', 'cosine', 'gaussian', \
'tanh', 'sigmoid', 'absolute', 'inverted', 'relu'], got 'tahn'; did you mean 'tanh'?
    """
    if isinstance(value, str) and value in ACTIVATIONS:
        return value
    return choice(name, value, list(ACTIVATIONS), did_you_mean(value, ACTIVATIONS))
