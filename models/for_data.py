"""Models of the zoo sized for data: the widths of a network, the likelihood of its targets."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from bayesnas.data import Split
from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.models.autoencoders.base import Autoencoder
from bayesnas.models.base import BayesianModel
from bayesnas.models.registry import zoo_class
from bayesnas.nn import mlp

_LOOKED_AT = 1024  # rows of a streamed part, to see whether they are pixels


def model_for_data(name: str, train: AnySplit, **options: Any) -> BayesianModel:
    """A model of the zoo by its name, with as many inputs and outputs as the data have.

    Args:
        name: as in ``bayesnas.models.available()``.
        train: the training part.
        options: arguments of the model; of one around a network also ``hidden`` (widths, 100 by
            default) and ``activation`` of the layers that are made here, or ``net``.

    Raises:
        ValueError: for an unknown name, or a model that no data size.

    >>> import bayesnas.data
    >>> train = bayesnas.data.load("digits").train
    >>> model_for_data("gaussian-net", train, hidden=[20]).describe()
    'GaussianNet 64–20–10'
    """
    cls = zoo_class(name)
    make: Callable[..., BayesianModel] = cls
    if issubclass(cls, Autoencoder):
        return _autoencoder(cls, train, options)
    takes = inspect.signature(cls).parameters
    if "in_features" in takes:
        if "likelihood" in takes and train.info.task == "classification":
            options.setdefault("likelihood", "bernoulli")
        return make(math.prod(_row(train).x.shape[1:]), **options)
    if "net" not in takes:
        raise ValueError(f"model {name!r} has no size that data give: make it in Python")
    if "net" in options:
        options["likelihood"] = _likelihood(train, options.get("likelihood"))
        return make(**options)
    net, options["likelihood"] = network_for_data(
        train,
        options.pop("hidden", None),
        options.pop("activation", None),
        options.get("likelihood"),
    )
    return make(net, **options)


def network_for_data(
    train: AnySplit, hidden: Sequence[int] | None, activation: str | None, likelihood: str | None
) -> tuple[nn.Module, str]:
    """A perceptron that fits the data, and the likelihood of its targets."""
    likelihood = _likelihood(train, likelihood)
    inner = [100] if hidden is None else hidden
    sizes = [math.prod(_row(train).x.shape[1:]), *inner, _outputs(train, likelihood)]
    return mlp(sizes, "relu" if activation is None else activation), likelihood


def _likelihood(train: AnySplit, given: str | None) -> str:
    """Of the targets, where none is given."""
    if given is not None:
        return given
    return "gaussian" if train.info.task == "regression" else "categorical"


def _autoencoder(
    make: Callable[..., BayesianModel], train: AnySplit, options: dict[str, Any]
) -> BayesianModel:
    """An autoencoder of examples; values in [0, 1] are pixels unless the options say otherwise."""
    x = train.x if isinstance(train, Split) else train.first(_LOOKED_AT).x
    is_pixels = bool(((x >= 0) & (x <= 1)).all())
    options.setdefault("likelihood", "bernoulli" if is_pixels else "gaussian")
    return make(tuple(x.shape[1:]), **options)


def _outputs(train: AnySplit, likelihood: str) -> int:
    """Width of the last layer."""
    if likelihood == "categorical" and train.info.classes is not None:
        return train.info.classes
    each = 2 if likelihood == "heteroscedastic" else 1
    return each * math.prod(_row(train).y.shape[1:])


def _row(train: AnySplit) -> Split:
    return train.first(1)
