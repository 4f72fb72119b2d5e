"""Types of arguments at the public surface: which annotations are known, and what they take."""

from __future__ import annotations

import dataclasses
import sys
import types
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import xarray

from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True)
class _First:
    share: Fraction  # a name of this module, and of none that continues the class


@pytest.mark.parametrize("value", ["half", 3, None])
def test_a_field_is_checked_where_a_class_of_another_module_goes_on(value):
    space = {"__name__": "elsewhere", "First": _First, "typed": typed, "dataclass": dataclasses}
    sys.modules["elsewhere"] = types.ModuleType("elsewhere")
    try:
        code = "@typed()\n@dataclass.dataclass(frozen=True)\nclass Second(First):\n    b: int = 0\n"
        exec(code, space)
        with pytest.raises(ValueError, match="share must be a Fraction, got"):
            space["Second"](value)
        assert space["Second"](Fraction(1, 2)).share == Fraction(1, 2)
    finally:
        del sys.modules["elsewhere"]


def test_a_type_that_is_imported_for_type_checkers_alone_is_checked():
    @typed()
    def drawn(frontier: xr.Dataset | None, ax: Axes | None = None) -> None:
        """Draw."""

    drawn(None)
    drawn(xarray.Dataset())
    for value in ("a", 3, [1], {}):
        with pytest.raises(ValueError, match="frontier must be a Dataset or None, got"):
            drawn(value)
        with pytest.raises(ValueError, match="ax must be a Axes or None, got"):
            drawn(None, value)


@pytest.mark.parametrize("value", [[1, 2.5], np.eye(2), torch.ones(2), 3, [True], [[1], [2]]])
def test_what_numpy_makes_numbers_of_is_array_like(value):
    @typed()
    def total(values: npt.ArrayLike, more: npt.ArrayLike | None = None) -> Any:
        return values

    assert total(value, value) is value


@pytest.mark.parametrize("value", ["a", None, ["a"], [1, [2]], {"a": 1}, object(), [None], b"a"])
def test_what_it_makes_none_of_is_not(value):
    @typed()
    def total(values: npt.ArrayLike) -> None:
        """Add."""

    with pytest.raises(ValueError, match="values must be an array of numbers, got"):
        total(value)
