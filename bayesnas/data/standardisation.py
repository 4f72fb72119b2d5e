"""Standardisation: mean and scale of a training part, kept with the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bayesnas.typed import typed


@typed()
@dataclass(frozen=True)
class Standardisation:
    """Maps inputs, and the targets of a regression, to mean 0 and standard deviation 1.

    x' = (x - x_mean) / x_scale, with one mean and one scale for each index of dimension 1 of x:
    each column of a table `[n, d]`, each channel of images `[n, c, h, w]`, and one of either for
    x `[n]`. Scales are population standard deviations (divisor n); what is constant has scale 1.
    A target `[n]` has one mean and one scale, a target `[n, k]` has k of them.

    Args:
        x_mean: d means.
        x_scale: d scales, all above 0.
        y_mean: means of the target; None for a classification.
        y_scale: scales of the target; None for a classification.

    Raises:
        ValueError: means and scales differ in number, or a scale is not above 0.

    Example:
        >>> x = torch.tensor([[0.0, 7.0], [2.0, 7.0]])
        >>> standardisation = Standardisation.fit(x, None)
        >>> standardisation.apply(x)
        tensor([[-1.,  0.],
                [ 1.,  0.]])
    """

    x_mean: tuple[float, ...]
    x_scale: tuple[float, ...]
    y_mean: tuple[float, ...] | None = None
    y_scale: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        _check("x", self.x_mean, self.x_scale)
        if (self.y_mean is None) != (self.y_scale is None):
            raise ValueError("y_mean and y_scale go together: got only one of them")
        if self.y_mean is not None and self.y_scale is not None:
            _check("y", self.y_mean, self.y_scale)

    @classmethod
    @typed()
    def fit(cls, x: Tensor, y: Tensor | None, *, weights: Tensor | None = None) -> Standardisation:
        """The means and scales of a training part.

        Args:
            x: inputs `[n, d, ...]`.
            y: targets `[n]` or `[n, k]`; None leaves targets as they are.
            weights: how much every row counts, `[n]`; None: all alike.

        Raises:
            TypeError: naming an argument of another type.
        """
        x_mean, x_scale = _moments(x, weights)
        return cls(x_mean, x_scale) if y is None else cls(x_mean, x_scale, *_moments(y, weights))

    @typed()
    def apply(self, x: Tensor) -> Tensor:
        """Standardised inputs, in the floating type of x.

        Args:
            x: inputs `[n, d, ...]` in their own units.

        Raises:
            ValueError: dimension 1 of x is not d.
        """
        width = len(self.x_mean)
        if x.shape[1:2] != (width,) and not (x.ndim == width == 1):
            raise ValueError(f"x must have shape [n, {width}, ...], got {list(x.shape)}")
        shape = (-1, *(1,) * (x.ndim - 2))
        mean, scale = (
            torch.tensor(v, dtype=torch.float64, device=x.device).reshape(shape)
            for v in (self.x_mean, self.x_scale)
        )
        return ((x - mean) / scale).to(_floating(x))

    @typed()
    def apply_y(self, y: Tensor) -> Tensor:
        """Standardised targets; y itself where the targets are left as they are.

        Args:
            y: targets in their own units, `[..., n]` or `[..., n, k]`.

        Raises:
            TypeError: for targets that are no tensor.
        """
        if self.y_mean is None or self.y_scale is None:
            return y
        mean, scale = (_like(v, y) for v in (self.y_mean, self.y_scale))
        return ((y - mean) / scale).to(_floating(y))

    @typed()
    def invert_y(self, y: Tensor) -> Tensor:
        """Targets or predictions back in their own units, y_mean + y_scale · y.

        Args:
            y: standardised targets, `[..., n]` or `[..., n, k]`.

        Raises:
            TypeError: for targets that are no tensor.
        """
        if self.y_mean is None or self.y_scale is None:
            return y
        mean, scale = (_like(v, y) for v in (self.y_mean, self.y_scale))
        return (y * scale + mean).to(_floating(y))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, ready for JSON."""
        items = dataclasses.asdict(self).items()
        return {name: None if value is None else list(value) for name, value in items}

    @classmethod
    @typed()
    def from_dict(cls, values: dict[str, Any]) -> Standardisation:
        """The inverse of `to_dict`.

        Raises:
            ValueError: `values` lacks x_mean or x_scale.
        """
        missing = {"x_mean", "x_scale"} - values.keys()
        if missing:
            raise ValueError(f"a stored standardisation lacks {', '.join(sorted(missing))}")
        return cls(
            x_mean=_floats(values["x_mean"]),
            x_scale=_floats(values["x_scale"]),
            y_mean=None if values.get("y_mean") is None else _floats(values["y_mean"]),
            y_scale=None if values.get("y_scale") is None else _floats(values["y_scale"]),
        )


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _check(name: str, mean: tuple[float, ...], scale: tuple[float, ...]) -> None:
    if len(mean) != len(scale):
        raise ValueError(f"{name}_mean and {name}_scale differ: {len(mean)} and {len(scale)} long")
    if not all(0 < s < float("inf") for s in scale):
        raise ValueError(f"{name}_scale must be finite and above 0, got {scale}")


def _moments(values: Tensor, weights: Tensor | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and scale for each index of dimension 1; scikit-learn decides what is constant."""
    from sklearn.preprocessing import StandardScaler

    values = values[:, None] if values.ndim == 1 else values
    table = values.detach().cpu().double().movedim(1, -1).reshape(-1, values.shape[1])
    each = None
    if weights is not None:
        each = weights.repeat_interleave(len(table) // len(values)).cpu().numpy()
    scaler = StandardScaler().fit(table.numpy(), sample_weight=each)
    return tuple(scaler.mean_.tolist()), tuple(scaler.scale_.tolist())


def _floating(values: Tensor) -> torch.dtype:
    return values.dtype if values.is_floating_point() else torch.float32


def _like(values: tuple[float, ...], y: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=y.device)
