"""The model that the options of the command line describe."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from typing import Any

from bayesnas.cli.arguments.models import check_model_options, model_options_given
from bayesnas.cli.arguments.names import MODEL_OPTIONS
from bayesnas.cli.graphs import network_of_graph, read_graph
from bayesnas.data import DataSet
from bayesnas.models import BayesianModel
from bayesnas.models.autoencoders.base import Autoencoder
from bayesnas.models.for_data import model_for_data
from bayesnas.models.registry import available, zoo_record


def model_of(args: argparse.Namespace, data: DataSet) -> BayesianModel:
    """The model that the options describe, sized for the data.

    Raises:
        ValueError: for a model that has to be fitted from Python, or an option that it does not
            take.
    """
    record = zoo_record(args.model)
    name = next(name for name, other in available().items() if other.cls is record.cls)
    if name not in MODEL_OPTIONS and record.for_data is None:
        raise ValueError(f"model {args.model!r} can't be fitted from here: fit it from Python")
    given: dict[str, Any] = check_model_options(name, model_options_given(args))
    if record.for_data is not None:
        return record.for_data(data)
    if issubclass(record.cls, Autoencoder):
        given = {option: None if value == "none" else value for option, value in given.items()}
    if "hidden" in given:
        given["hidden"] = hidden_widths(given["hidden"])
    if "graph" in given:
        operations = dict(given.pop("operations", ()))
        given["net"] = network_of_graph(read_graph(given.pop("graph")), operations, data)
    return model_for_data(name, data.train, **given)


def hidden_widths(words: Sequence[Sequence[int]] | None) -> list[int] | None:
    """The widths of ``--hidden``, of which every word may hold several."""
    return None if words is None else list(itertools.chain.from_iterable(words))
