"""What is good for each kind of argument, told without the checks of the package."""

from __future__ import annotations

import math
import types
from pathlib import Path

import numpy as np
import torch
from torch import nn

import bayesnas as bn


class Thing:
    """Of no use to anybody."""

    def __repr__(self):
        return "a thing"


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no words for it")


POOL = [
    None,
    True,
    False,
    np.True_,
    0,
    1,
    -1,
    3,
    2.5,
    -0.5,
    0.5,
    math.nan,
    math.inf,
    -math.inf,
    10**15,
    10**400,
    -(10**18),
    2**63,
    1e300,
    1e-320,
    1j,
    "",
    "1",
    "1.0",
    "garbage",
    "False",
    "nan",
    "\0",
    "λ",
    "a" * 5000,
    b"bytes",
    np.float32(0.25),
    np.float64(math.nan),
    np.int8(-3),
    np.array(0.5),
    np.array([0.5, 0.25]),
    np.array(["a", "b"]),
    np.zeros((0, 3)),
    np.array([None, {}], dtype=object),
    torch.tensor(0.5),
    torch.tensor(-1.0),
    torch.tensor(math.nan),
    torch.tensor([0.5, 0.25]),
    torch.zeros(2, 3, dtype=torch.complex64),
    torch.zeros(3, 0),
    torch.tensor(True),
    [],
    [None],
    ["a"],
    [1, "2"],
    [0.5, math.nan],
    [1, [2]],
    (),
    (1, 2, 3),
    {},
    {"a": 1},
    {1, 2},
    range(3),
    object,
    int,
    Thing(),
    Unprintable(),
    lambda: 3,
    lambda *args: "x",
    nn.Linear(2, 2),
    nn.Module(),
    torch.device("cpu"),
    torch.float32,
    Path("/nowhere/at/all"),
    types.SimpleNamespace(a=1),
    iter([1, 2]),
]


def scalar(value):
    """The number that a value is, or None."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        if value.ndim or value.dtype in (torch.bool, np.bool_):
            return None
        value = value.item()
    if isinstance(value, (bool, np.bool_, complex)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        return None
    return value.item() if isinstance(value, np.generic) else value


def real(low=-math.inf, high=math.inf, *, closed=""):
    """Finite numbers between two, which belong to them where ``closed`` has their bracket."""

    def good(value):
        number = scalar(value)
        if number is None or (isinstance(number, int) and abs(number) > 10**300):
            return False
        above = number > low or (number == low and "[" in closed)
        below = number < high or (number == high and "]" in closed)
        return math.isfinite(number) and above and below

    return good


def whole(low=1, high=2**62):
    def good(value):
        number = scalar(value)
        return isinstance(number, int) and low <= number <= high

    return good


def one_of(*values):
    return lambda value: isinstance(value, str) and value in values


def a(*classes):
    return lambda value: isinstance(value, classes)


def or_none(good):
    return lambda value: value is None or good(value)


def either(*goods):
    return lambda value: any(good(value) for good in goods)


def items(good, least=1):
    def check(value):
        if not isinstance(value, (list, tuple, range, np.ndarray, torch.Tensor)):
            return False
        if isinstance(value, (np.ndarray, torch.Tensor)) and value.ndim != 1:
            return False
        return len(value) >= least and all(good(each) for each in value)

    return check


def never(value):
    return False


def mapping(value):
    return isinstance(value, dict) and value == {}


flag = a(bool, np.bool_)
callable_ = callable
text = a(str)
seed = whole(0, 2**63 - 1)
small = whole(1, 10**6)  # what is drawn one by one
large = whole(1, 2**33)  # what memory may have room for
positive = real(0.0)
non_negative = real(0.0, closed="[")
fraction = real(0.0, 1.0, closed="[]")
inside = real(0.0, 1.0)
numbers = either(real(), lambda value: isinstance(value, torch.Tensor))


def parameter(least=-math.inf, closed=""):
    """A number, or a real tensor all of which is in range."""
    one = real(least, closed=closed)

    def good(value):
        if isinstance(value, torch.Tensor) and not value.is_complex() and value.dtype != torch.bool:
            return all(one(each) for each in value.reshape(-1))
        return one(value)

    return good


def real_tensor(value):
    return isinstance(value, torch.Tensor) and value.is_floating_point()


a_path = either(a(Path), lambda value: isinstance(value, str) and "\0" not in value and value != "")
a_net = a(nn.Module)
a_model = a(bn.models.BayesianModel)
