"""Weights of the examples of a fit: ``sample_weight`` and ``class_weight``."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bayesnas.checks import shown
from bayesnas.data import Split
from bayesnas.data.checks import as_floats
from bayesnas.data.conversion import as_tensor, check_index
from bayesnas.data.row_weights import RowWeights
from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.inference.config.inputs import Data
from bayesnas.models.base import BayesianModel
from bayesnas.scalars import is_whole

ClassWeight = str | Mapping[int, float] | Sequence[float] | np.ndarray[Any, Any] | Tensor
"""``"balanced"``, weights by class, or one for each class."""


def example_weights(
    model: BayesianModel,
    data: Data,
    train: AnySplit,
    sample_weight: object = None,
    class_weight: ClassWeight | None = None,
) -> Tensor | None:
    """A weight for every example, or None where all count alike.

    Args:
        model: what is fitted.
        data: as it was given, for the index of a table.
        train: the same, checked.
        sample_weight: ``[n]`` numbers >= 0, not all of them 0.
        class_weight: ``"balanced"``, n / (C · rows of the class); numbers >= 0 by class, where
            classes left out have 1; or ``[C]`` of them. Multiplied by ``sample_weight``.

    Raises:
        ValueError, TypeError: naming the argument, for what is no such weight, or a model whose
            program says itself how its sites count.
    """
    if sample_weight is None and class_weight is None:
        return None
    name = "class_weight" if sample_weight is None else "sample_weight"
    if model.takes_data_as_given:
        raise TypeError(
            f"{name} has no place with a {type(model).__name__}, whose program says how its sites "
            "count: hand the weights in with x or y, and put pyro.poutine.scale(scale=weights) "
            "around the observed site"
        )
    weights = torch.ones(len(train), dtype=torch.float64)
    if sample_weight is not None:
        if isinstance(data, tuple | list):
            check_index("x", data[0], "sample_weight", sample_weight)
        weights = _numbers("sample_weight", sample_weight, len(train), "one for each row")
    if class_weight is not None:
        labels = train.y.cpu() if isinstance(train, Split) else train.targets().cpu()
        weights = weights * _of_classes(class_weight, train, labels)[labels]
    if not bool((weights > 0).any()):
        raise ValueError(f"{name} must be above 0 for one example or more, got 0 for all")
    as_floats(name, weights, model.dtype)  # what the bound multiplies by
    return weights.to(train.device)


def carrying(
    model: BayesianModel, train: AnySplit, weights: Tensor | None
) -> tuple[BayesianModel, AnySplit]:
    """Model and data of a weighted fit: the targets carry the weights, and the model knows.

    Args:
        model: not changed.
        train: likewise.
        weights: ``[n]``, or None, which leaves both as they are.
    """
    if weights is None:
        return model, train
    one = train.first(1).y
    packing = RowWeights(one.shape[1:], one.dtype)
    marked = copy.copy(model)
    marked.row_weights = packing
    if isinstance(train, Split):
        return marked, dataclasses.replace(train, y=packing.pack(train.y, weights))
    form = dataclasses.replace(train.form, weights=(packing, weights.cpu()))
    return marked, dataclasses.replace(train, form=form)


def _numbers(name: str, values: Any, count: int, what: str) -> Tensor:
    numbers = as_floats(name, as_tensor(name, values), torch.float64).cpu()
    if numbers.shape != (count,):
        raise ValueError(f"{name} must have shape [{count}], {what}, got {list(numbers.shape)}")
    if bool((numbers < 0).any()):
        place = int((numbers < 0).nonzero()[0])
        raise ValueError(f"{name} must hold numbers >= 0, got {numbers[place]:g} at [{place}]")
    return numbers


def _of_classes(class_weight: ClassWeight, train: AnySplit, y: Tensor) -> Tensor:
    """A weight for every class, ``[C]``, by the labels of all rows."""
    classes = train.info.classes
    if classes is None or y.ndim != 1:
        raise ValueError(
            "class_weight is for a classification with one label a row, got targets y of shape "
            f"{['n', *y.shape[1:]]} of a {train.info.task}: give sample_weight"
        )
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(f"class_weight must be 'balanced' or numbers, got {class_weight!r}")
        counts = torch.bincount(y, minlength=classes).double()
        present = int((counts > 0).sum())
        return torch.where(counts > 0, len(y) / (present * counts), 0.0)
    if not isinstance(class_weight, Mapping):
        return _numbers("class_weight", class_weight, classes, "one for each class")
    unknown = [key for key in class_weight if not is_whole(key) or not 0 <= key < classes]
    if unknown:
        raise ValueError(
            f"class_weight must be by class in 0…{classes - 1}, got {shown(unknown[0])}"
        )
    values = [class_weight.get(label, 1.0) for label in range(classes)]
    return _numbers("class_weight", np.asarray(values), classes, "one for each class")
