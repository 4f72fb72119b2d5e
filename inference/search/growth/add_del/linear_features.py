"""Features of a linear regression by exact least squares, as elements of AddDel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.inference.config.inputs import Data
from bayesnas.inference.search.growth.add_del.elements import Change
from bayesnas.inference.search.growth.rows import check_alike, flat_rows
from bayesnas.nn.modules.select_inputs import SelectInputs
from bayesnas.typed import typed

_COLLINEAR = 1e-10  # share of a feature's square that the others leave


@dataclass(frozen=True)
class _Fit:
    """Features, in the order in which they came, and their coefficients on centred data."""

    features: tuple[int, ...]
    coefficients: Tensor


class LinearFeatures:
    r"""Features of :math:`y = b + \sum_{j \in A} w_j x_j`, fitted by least squares.

    S is the mean squared error on validation data. Adding tries every feature that is left: what
    the others leave of it on the training data, :math:`x_j^\perp`, gives the new fit without a
    further solution. The saliency is :math:`\tfrac12 w_j^2 \overline{(x_j - \bar x_j)^2}`.

    Args:
        data: rows that are fitted, targets ``[n]``.
        validation: rows of the error.

    Raises:
        ValueError: naming the argument that is no regression data.
        TypeError: naming data that are no part of a data set and no pair.

    >>> x = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 0.0], [3.0, 5.0]])
    >>> elements = LinearFeatures((x, 2 * x[:, 0] + 1), (x, 2 * x[:, 0] + 1))
    >>> elements.add(elements.start()).element
    0
    """

    @typed(unchecked=("data", "validation"))
    def __init__(self, data: Data, validation: Data) -> None:
        """Centre the data by the means of the training rows; see the class."""
        train = _targets("data", data)
        held_out = _targets("validation", validation)
        check_alike(train, held_out, "validation")
        self._means = train.x.mean(0), train.y.mean(0)
        self._x, self._y = train.x - self._means[0], train.y - self._means[1]
        self._test_x, self._test_y = held_out.x - self._means[0], held_out.y - self._means[1]
        self._data = {"data": train.fingerprint, "validation": held_out.fingerprint}

    def start(self) -> _Fit:
        """The mean of the targets."""
        return _Fit((), self._y.new_zeros(0))

    def add(self, model: _Fit) -> Change | None:
        """The feature of the least validation error beside those that are there."""
        chosen = list(model.features)
        left = [place for place in range(self._x.shape[1]) if place not in chosen]
        if not left:
            return None
        errors = self._errors_with(model, left)
        place = left[int(errors.argmin())]
        return Change(place, self._fitted((*model.features, place)))

    def delete(self, model: _Fit) -> Change | None:
        """The feature of the least saliency goes."""
        if not model.features:
            return None
        curvature = self._x[:, list(model.features)].square().mean(0)
        place = int((0.5 * curvature * model.coefficients.square()).argmin())
        rest = model.features[:place] + model.features[place + 1 :]
        return Change(model.features[place], self._fitted(rest))

    def error(self, model: _Fit) -> float:
        """Mean squared error on validation data."""
        fitted = self._test_x[:, list(model.features)] @ model.coefficients
        return float((self._test_y - fitted).square().mean())

    def size(self, model: _Fit) -> int:
        """Number of features."""
        return len(model.features)

    def module(self, model: _Fit) -> nn.Module:
        """The chosen inputs, rising, and a linear layer with one output; of none the first by 0."""
        order = sorted(range(len(model.features)), key=model.features.__getitem__)
        features = [model.features[place] for place in order] or [0]
        weights = model.coefficients[order] if order else self._y.new_zeros(1)
        layer = nn.utils.skip_init(nn.Linear, len(features), 1)  # draws nothing
        with torch.no_grad():
            layer.weight.copy_(weights)
            layer.bias.copy_(self._means[1] - self._means[0][features] @ weights)
        return nn.Sequential(SelectInputs(features), layer)

    def config(self) -> dict[str, Any]:
        """The fingerprints of the data."""
        return {"elements": "linear features", **self._data}

    def _fitted(self, features: tuple[int, ...]) -> _Fit:
        return _Fit(features, self._solved(self._x[:, list(features)], self._y))

    def _errors_with(self, model: _Fit, left: list[int]) -> Tensor:
        """Validation errors with each further feature, ``[left]``."""
        chosen = list(model.features)
        inside = self._solved(self._x[:, chosen], self._x[:, left])
        beside = self._x[:, left] - self._x[:, chosen] @ inside
        test_beside = self._test_x[:, left] - self._test_x[:, chosen] @ inside
        residual = self._y - self._x[:, chosen] @ model.coefficients
        test_residual = self._test_y - self._test_x[:, chosen] @ model.coefficients
        norm, whole = beside.square().sum(0), self._x[:, left].square().sum(0)
        is_new = norm > _COLLINEAR * whole
        factor = torch.where(is_new, residual @ beside / torch.where(is_new, norm, 1.0), 0.0)
        left_over: Tensor = test_residual[:, None] - test_beside * factor
        return left_over.square().mean(0)

    @staticmethod
    def _solved(x: Tensor, y: Tensor) -> Tensor:
        """The least-squares solution of the least norm, ``[k]`` or ``[k, columns]``."""
        if not x.shape[1]:
            return y.new_zeros(0, *y.shape[1:])
        columns = y if y.ndim > 1 else y[:, None]
        solution: Tensor = torch.linalg.lstsq(x, columns, driver="gelsd").solution
        return solution if y.ndim > 1 else solution[:, 0]


def _targets(name: str, data: Data) -> Any:
    rows = flat_rows(name, data, "regression", torch.float64)
    y = rows.y.flatten(1) if rows.y.ndim > 1 else rows.y[:, None]
    if y.shape[1] != 1:
        raise ValueError(f"{name}: y must be one number a row, got shape {list(rows.y.shape)}")
    return type(rows)(rows.x, y[:, 0].double(), rows.info)
