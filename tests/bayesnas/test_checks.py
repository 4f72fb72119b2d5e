"""The checks of arguments: one idea of a number, a flag, a name, everywhere."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import bayesnas as bn
from bayesnas import checks
from bayesnas.files import path_of

NUMBERS = [0.25, np.float32(0.25), np.float64(0.25), np.array(0.25), torch.tensor(0.25)]
NOT_NUMBERS = [True, np.True_, torch.tensor(True), np.array(True), "0.25", None, [0.25], 1j]
NOT_NUMBERS += [np.array([0.25]), torch.tensor([0.25]), object(), float, b"1"]


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize(
    "check",
    [checks.positive, checks.non_negative, checks.finite, checks.probability, checks.fraction_in],
)
def test_numbers_of_every_kind_come_out_as_floats(check, value):
    number = check("scale", value)
    assert type(number) is float
    assert number == 0.25


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=range(len(NOT_NUMBERS)))
@pytest.mark.parametrize(
    "check",
    [checks.positive, checks.non_negative, checks.finite, checks.probability, checks.fraction_in],
)
def test_what_is_no_number(check, value):
    with pytest.raises(ValueError, match=r"^scale must be a .*, got "):
        check("scale", value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, np.float32("nan")])
def test_what_is_not_finite(value):
    for check in (checks.positive, checks.non_negative, checks.finite):
        with pytest.raises(ValueError, match="^scale must be a finite number"):
            check("scale", value)


@pytest.mark.parametrize(
    ("check", "taken", "refused"),
    [
        (checks.positive, [1e-300, 3], [0, -1]),
        (checks.non_negative, [0, 1e300], [-1e-300]),
        (checks.probability, [0.5], [0, 1]),
        (checks.fraction_in, [0, 1, 0.5], [-0.1, 1.1, 2]),
    ],
)
def test_bounds(check, taken, refused):
    for value in taken:
        assert check("x", value) == value
    for value in refused:
        with pytest.raises(ValueError, match=rf"^x must be .*, got {value}$"):
            check("x", value)


@pytest.mark.parametrize(
    ("interval", "taken"),
    [("[0, 1]", {0, 0.5, 1}), ("[0, 1)", {0, 0.5}), ("(0, 1]", {0.5, 1}), ("(0, 1)", {0.5})],
)
def test_brackets_say_what_belongs_to_an_interval(interval, taken):
    for value in (0, 0.5, 1):
        if value in taken:
            assert checks.fraction_in("x", value, interval) == value
        else:
            with pytest.raises(ValueError, match=r"fraction in [\[(]0, 1[\])], got"):
                checks.fraction_in("x", value, interval)


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3), torch.tensor(3)])
def test_whole_numbers(value):
    number = checks.whole_number("n", value)
    assert (number, type(number)) == (3, int)


@pytest.mark.parametrize("value", [3.0, np.float32(3), True, np.True_, "3", None])
def test_what_is_no_whole_number(value):
    with pytest.raises(ValueError, match="^n must be a whole number >= 1, got "):
        checks.whole_number("n", value)


@pytest.mark.parametrize("value", [1, 0, "True", None, torch.tensor(True), np.array(True)])
def test_a_flag_is_true_or_false(value):
    assert checks.flag("bias", np.True_) is True
    with pytest.raises(TypeError, match="^bias must be True or False, got "):
        checks.flag("bias", value)


def test_names_choices_functions_and_tensors():
    assert checks.names_of("p", np.array(["a"])) == ["a"]
    for value in ("ab", [1], None, b"ab"):
        with pytest.raises(TypeError, match="^p must be a sequence of names"):
            checks.names_of("p", value)
    with pytest.raises(TypeError, match="^p must be a name"):
        checks.name_of("p", "")
    for value in ("c", None, np.array(["a"]), torch.zeros(2), ["a"]):
        with pytest.raises(ValueError, match=r"^p must be one of \['a', 'b'\], got"):
            checks.choice("p", value, ("a", "b"))
    with pytest.raises(TypeError, match="^f must be a function, got 3"):
        checks.function("f", 3)
    with pytest.raises(TypeError, match="^x must be a torch tensor, got ndarray"):
        checks.tensor("x", np.zeros(2))


def test_paths():
    assert path_of("out", "~/a") == Path.home() / "a"
    for value in ("", "\0", "~nobody-of-that-name/a"):
        with pytest.raises(ValueError, match="^out must be a path"):
            path_of("out", value)
    for value in (None, 3, b"a"):
        with pytest.raises(TypeError, match="^out must be a path"):
            path_of("out", value)


def test_what_came_is_shown_shortly_and_never_fails():
    class Unprintable:
        def __repr__(self):
            raise RuntimeError

    with pytest.raises(ValueError, match="got a Unprintable$"):
        checks.positive("x", Unprintable())
    with pytest.raises(ValueError) as error:  # noqa: PT011  # its length is looked at
        checks.positive("x", "a" * 10_000)
    assert len(str(error.value)) < 300


PLACES = {
    "prior_scale": lambda v: bn.models.GaussianNet(bn.nn.mlp([4, 3]), prior_scale=v),
    "noise_scale": lambda v: bn.models.ArdRegression(3, noise_scale=v),
    "initial_scale": lambda v: bn.models.SpikeAndSlabNet(bn.nn.mlp([4, 3]), initial_scale=v),
    "mass": lambda v: bn.models.LatentFeatures(3, 2, mass=v),
    "start": lambda v: bn.Bilevel(start=v),
    "lr": lambda v: bn.inference.Unrolled(lr=v),
    "damping": lambda v: bn.inference.Implicit(damping=v),
    "temperature": lambda v: bn.distributions.BinaryConcrete(v, logits=torch.zeros(2)),
    "concentration": lambda v: bn.distributions.IndianBuffet(1.0, v, 3),
    "rate": lambda v: bn.distributions.exponential_temperature(1.0, 0.5, v),
    "test": lambda v: bn.data.load("digits", test=v),
    "scale": lambda v: bn.nn.GaussianNoise(v),
}


@pytest.mark.parametrize("name", PLACES)
def test_all_places_agree_on_what_a_number_is(name):
    for value in NUMBERS:
        PLACES[name](value)
    for value in (True, False, "0.25", np.True_):
        with pytest.raises((ValueError, TypeError), match=rf"\b{name} must be .*, got "):
            PLACES[name](value)


def test_a_model_of_numpy_numbers_is_described_in_json(tmp_path, xy):
    x, y = xy
    for model, target in (
        (bn.models.GaussianNet(bn.nn.mlp([4, 3]), prior_scale=np.float32(0.5)), y),
        (bn.models.SpikeAndSlabNet(bn.nn.mlp([4, 3]), inclusion=np.float32(0.5)), y),
        (bn.models.ArdRegression(np.int64(4), noise_scale=torch.tensor(0.5)), x[:, 0]),
        (bn.models.LatentFeatures(4, np.int64(2), mass=np.float32(1.0)), x),
    ):
        name = type(model).__name__
        post = bn.fit(model, (x, target), steps=np.int32(2), lr=np.float32(0.01), progress=False)
        post.save(tmp_path / name)
        assert bn.load(tmp_path / name).model.config() == model.config()
