"""Standardisation against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bayesnas.data import Standardisation, from_arrays, load


def test_the_training_part_alone_gives_mean_and_scale():
    plain, scaled = load("diabetes"), load("diabetes", standardise=True)
    x, y = plain.train.x.double().numpy(), plain.train.y.double().numpy()
    stored = scaled.info.standardisation
    np.testing.assert_allclose(stored.x_mean, x.mean(0), rtol=1e-6)
    np.testing.assert_allclose(stored.x_scale, x.std(0), rtol=1e-6)
    np.testing.assert_allclose(stored.y_mean, [y.mean()], rtol=1e-6)
    np.testing.assert_allclose(stored.y_scale, [y.std()], rtol=1e-6)
    expected = (plain.test.x.double().numpy() - x.mean(0)) / x.std(0)
    np.testing.assert_allclose(scaled.test.x, expected, atol=1e-5)
    np.testing.assert_allclose(scaled.test.y, (plain.test.y - y.mean()) / y.std(), atol=1e-5)
    assert scaled.test.info.standardisation == stored


def test_it_is_explicit():
    assert load("diabetes").info.standardisation is None


def test_labels_are_left_alone():
    scaled = load("breast-cancer", standardise=True)
    assert scaled.info.standardisation.y_mean is None
    assert torch.equal(scaled.test.y, load("breast-cancer").test.y)
    labels = scaled.test.y
    assert scaled.info.standardisation.apply_y(labels) is labels
    assert scaled.info.standardisation.invert_y(labels) is labels


def test_a_constant_column_has_scale_one():
    scaled = load("digits", standardise=True)
    constant = load("digits").train.x.std(0) == 0
    assert constant.any()
    assert np.array(scaled.info.standardisation.x_scale)[constant.numpy()].tolist() == [1.0] * int(
        constant.sum()
    )
    assert (scaled.train.x[:, constant] == 0).all()


def test_images_have_one_mean_a_channel():
    x = np.random.default_rng(0).normal(3, 5, (20, 2, 4, 4))
    data = from_arrays(x, np.arange(20) % 2, test=0.0, standardise=True)
    np.testing.assert_allclose(data.info.standardisation.x_mean, x.mean((0, 2, 3)))
    np.testing.assert_allclose(data.info.standardisation.x_scale, x.std((0, 2, 3)))
    expected = (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(data.train.x, expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(6,), (5, 6), (6, 3), (5, 6, 3)])
def test_targets_and_draws_of_them_come_back(shape):
    columns = 3 if shape[-1] == 3 else 1
    stored = Standardisation((0.0,), (1.0,), (1.0, 2.0, 3.0)[:columns], (2.0, 4.0, 8.0)[:columns])
    y = torch.randn(shape)
    np.testing.assert_allclose(stored.invert_y(stored.apply_y(y)), y, atol=1e-6)
    assert stored.invert_y(y).dtype == torch.float32
    expected = y.numpy() * np.array([2.0, 4.0, 8.0])[:columns] + np.array([1.0, 2, 3])[:columns]
    np.testing.assert_allclose(stored.invert_y(y), expected, rtol=1e-6)


def test_large_numbers_keep_their_digits():
    x = 1e9 + np.arange(8.0)[:, None]
    data = from_arrays(x, np.arange(8.0), test=0.0, standardise=True)
    np.testing.assert_allclose(data.train.x.numpy(), (x - x.mean()) / x.std(), atol=1e-6)


def test_another_width_is_named():
    stored = load("diabetes", standardise=True).info.standardisation
    with pytest.raises(ValueError, match=r"x must have shape \[n, 10, \.\.\.\], got \[2, 9\]"):
        stored.apply(torch.zeros(2, 9))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0.0,), (1.0, 2.0)), "x_mean and x_scale differ: 1 and 2 long"),
        (((0.0,), (0.0,)), "x_scale must be finite and above 0"),
        (((0.0,), (1.0,), (0.0,)), "go together"),
        (((0.0,), (1.0,), (0.0,), (float("nan"),)), "y_scale must be finite"),
    ],
)
def test_impossible_values_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Standardisation(*arguments)
