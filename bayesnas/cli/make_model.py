"""The model that the options of the command line describe."""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable
from typing import Any

from torch import nn

import bayesnas as bn
from bayesnas.cli.arguments.models import check_model_options, model_options_given
from bayesnas.cli.arguments.names import MODEL_OPTIONS
from bayesnas.data import DataSet, Split
from bayesnas.models import BayesianModel
from bayesnas.models.autoencoders.base import Autoencoder
from bayesnas.models.registry import available, zoo_record


def model_of(args: argparse.Namespace, data: DataSet) -> BayesianModel:
    """The model that the options describe, sized for the data.

    Raises:
        ValueError: for a model that has to be fitted from Python, or an option that it does not
            take.
    """
    record = zoo_record(args.model)
    cls = record.cls
    name = next(name for name, other in available().items() if other.cls is cls)
    if name not in MODEL_OPTIONS and record.for_data is None:
        raise ValueError(f"model {args.model!r} can't be fitted from here: fit it from Python")
    given = check_model_options(name, model_options_given(args))
    if record.for_data is not None:
        return record.for_data(data)
    make: Callable[..., BayesianModel] = cls
    if issubclass(cls, Autoencoder):
        return _autoencoder(cls, data.train, given)
    inputs = math.prod(data.train.x.shape[1:])
    if "hidden" not in MODEL_OPTIONS[name]:
        if "likelihood" in MODEL_OPTIONS[name] and data.info.task == "classification":
            given.setdefault("likelihood", "bernoulli")
        return make(inputs, **given)
    net, given["likelihood"] = network_of(
        data, given.pop("hidden", None), given.pop("activation", None), given.get("likelihood")
    )
    return make(net, **given)


def network_of(
    data: DataSet,
    hidden: list[list[int]] | None,
    activation: str | None,
    likelihood: str | None,
) -> tuple[nn.Module, str]:
    """A perceptron that fits the data, and the likelihood of its targets."""
    if likelihood is None:
        likelihood = "gaussian" if data.info.task == "regression" else "categorical"
    inner = itertools.chain.from_iterable([[100]] if hidden is None else hidden)
    sizes = [math.prod(data.train.x.shape[1:]), *inner, _outputs(data.train, likelihood)]
    return bn.nn.mlp(sizes, "relu" if activation is None else activation), likelihood


def _autoencoder(
    make: Callable[..., BayesianModel], train: Split, given: dict[str, Any]
) -> BayesianModel:
    """An autoencoder of examples; values in [0, 1] are pixels unless the options say otherwise."""
    given = {name: None if value == "none" else value for name, value in given.items()}
    if "hidden" in given:
        given["hidden"] = list(itertools.chain.from_iterable(given["hidden"]))
    is_pixels = bool(((train.x >= 0) & (train.x <= 1)).all())
    given.setdefault("likelihood", "bernoulli" if is_pixels else "gaussian")
    return make(tuple(train.x.shape[1:]), **given)


def _outputs(train: Split, likelihood: str) -> int:
    """Width of the last layer."""
    if likelihood == "categorical" and train.info.classes is not None:
        return train.info.classes
    each = 2 if likelihood == "heteroscedastic" else 1
    return each * math.prod(train.y.shape[1:])
