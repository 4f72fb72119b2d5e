"""What x and y have to be before anything is fitted to them."""

from __future__ import annotations

import torch
from torch import Tensor

from bayesnas.data.info import Task
from bayesnas.data.inputs import AnyInputs, Inputs, leaves_of, named_inputs


def infer_task(y: Tensor) -> Task:
    """Classification for whole-number and boolean types of y, regression for floating ones."""
    return "regression" if y.is_floating_point() else "classification"


def check_rows(x: AnyInputs, y: Tensor) -> None:
    """Raises ValueError unless x and y are `[n, ...]` with one n above 0."""
    for leaf in leaves_of(x):
        _check_rows(leaf, y)


def _check_rows(x: Tensor, y: Tensor) -> None:
    if x.ndim < 1 or y.ndim < 1:
        raise ValueError(f"x and y must have rows, got shapes {list(x.shape)} and {list(y.shape)}")
    if len(x) != len(y):
        raise ValueError(f"x and y must have the same length, got {len(x)} and {len(y)} rows")
    if x.numel() == 0 or y.numel() == 0:
        raise ValueError(
            "x and y must hold at least one row and one feature, "
            f"got shapes {list(x.shape)} and {list(y.shape)}"
        )


def check_finite(name: str, values: Tensor, where: str = "") -> None:
    """Raises ValueError that names the first row in which `values` is NaN or infinite.

    Args:
        name: of the argument, for the message.
        values: of any shape.
        where: more words for the message.

    Example:
        >>> check_finite("x", torch.tensor([[0.0, 1.0], [2.0, float("nan")]]))
        Traceback (most recent call last):
        ...
        ValueError: x must be finite, got nan at [1, 1] (1 value is NaN or infinite)
    """
    # The extremes are NaN or infinite where any value is, and take a tenth of the time.
    if values.numel() == 0 or bool(torch.isfinite(torch.stack(values.aminmax())).all()):
        return
    places = torch.nonzero(~torch.isfinite(values))
    place = places[0].tolist()
    count = "1 value is" if len(places) == 1 else f"{len(places)} values are"
    raise ValueError(
        f"{name} must be finite, got {values[tuple(place)].item()} at {place}{where} "
        f"({count} NaN or infinite)"
    )


def as_floats(name: str, values: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Finite numbers in a floating-point type.

    Raises:
        ValueError: one is NaN, infinite, or too large for the type.

    Example:
        >>> as_floats("x", torch.tensor([1e300], dtype=torch.float64))
        Traceback (most recent call last):
        ...
        ValueError: x must be finite, got inf at [0] as torch.float32 (1 value is NaN or infinite)
    """
    floats = values.to(dtype)
    try:
        check_finite(name, floats)
    except ValueError:
        if values.is_floating_point():
            check_finite(name, values)
        check_finite(name, floats, f" as {dtype}")
    return floats


def as_labels(y: Tensor, classes: int | None = None) -> Tensor:
    """Labels as int64, after checking that they are whole and in 0…C−1.

    Args:
        y: `[n]` labels of any numeric type, or `[n, 1]`.
        classes: C; None asks only that no label is negative.

    Raises:
        ValueError: y is not `[n]`, or a label is not whole or out of range.

    Example:
        >>> as_labels(torch.tensor([0.0, 2.0]), classes=3)
        tensor([0, 2])
        >>> as_labels(torch.tensor([0, 3]), classes=3)
        Traceback (most recent call last):
        ...
        ValueError: labels y must be in 0..2, got 3 in row 1
    """
    y = _one_column(y)
    if y.ndim != 1:
        raise ValueError(f"labels y must have shape [n], one a row, got {list(y.shape)}")
    if y.is_floating_point():
        check_finite("y", y)
        whole = y == y.round()
        if not bool(whole.all()):
            row = int(torch.nonzero(~whole)[0])
            raise ValueError(f"labels y must be whole numbers, got {y[row].item()} in row {row}")
    labels = y.long()
    outside = labels < 0 if classes is None else (labels < 0) | (labels >= classes)
    if bool(outside.any()):
        row = int(torch.nonzero(outside)[0])
        allowed = "0 or above" if classes is None else f"in 0..{classes - 1}"
        raise ValueError(f"labels y must be {allowed}, got {labels[row].item()} in row {row}")
    return labels


def as_several_labels(y: Tensor) -> Tensor:
    """Several labels a row, each 0 or 1, as int64.

    Args:
        y: `[n, k]` (or more dims) of any numeric type.

    Raises:
        ValueError: a value is neither 0 nor 1.

    Example:
        >>> as_several_labels(torch.tensor([[True, False]]))
        tensor([[1, 0]])
    """
    outside = (y != 0) & (y != 1)
    if bool(outside.any()):
        place = torch.nonzero(outside)[0].tolist()
        raise ValueError(
            f"labels y must have shape [n], one a row, got {list(y.shape)}; several a row must be "
            f"0 or 1 each, got {y[tuple(place)].item()} at {place}"
        )
    return y.long()


def as_targets(y: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Targets of a regression as floating-point numbers, after checking that they are finite.

    One target an example is `[n]`, also where it came as `[n, 1]`.

    Raises:
        ValueError: a target is NaN, infinite, or too large for the type.
    """
    return _one_column(as_floats("y", y, dtype))


def _one_column(y: Tensor) -> Tensor:
    """Targets ``[n, 1]`` as ``[n]``, all others as they are."""
    return y.squeeze(1) if y.ndim == 2 and y.shape[1] == 1 else y


def check_all_finite(x: AnyInputs, y: Tensor) -> None:
    """Raises ValueError that names the first input, or y, with a value that is NaN or infinite."""
    for name, values in [*named_inputs(x), ("y", y)]:
        if values.is_floating_point():
            check_finite(name, values)


def typed_inputs(x: AnyInputs, dtype: torch.dtype) -> AnyInputs:
    """Finite inputs in the type that a model takes.

    Args:
        x: inputs ``[n, ...]``.
        dtype: of one tensor; of several inputs those of floating point get it, and the others keep
            what they have.

    Raises:
        ValueError: naming the input, where a value is NaN, infinite, or too large for the type.

    Example:
        >>> typed_inputs(torch.tensor([1, 2]), torch.float32)
        tensor([1., 2.])
    """
    if not isinstance(x, Inputs):
        return as_floats("x", x, dtype) if dtype.is_floating_point else x.to(dtype)
    leaves = [
        as_floats(name, leaf, dtype) if leaf.is_floating_point() else leaf
        for name, leaf in x.items()
    ]
    return x.like(leaves)


def typed_targets(y: Tensor, task: str, classes: int | None, dtype: torch.dtype) -> Tensor:
    """Checked targets: int64 labels ``[n]``, several of 0 and 1 a row, or floating-point numbers.

    Args:
        y: targets ``[n, ...]``.
        task: "classification" or "regression".
        classes: C, which labels ``[n]`` have to stay below; None asks only that none is negative.
        dtype: of the targets of a regression.
    """
    if task == "regression":
        return as_targets(y, dtype)
    return as_several_labels(y) if has_several_labels(y) else as_labels(y, classes)


def has_several_labels(y: Tensor) -> bool:
    """Whether the targets of a classification are more than one label a row."""
    return y.ndim > 1 and y[0].numel() > 1
