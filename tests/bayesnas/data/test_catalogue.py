"""Data sets by name, against the loaders of scikit-learn."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from sklearn import datasets

from bayesnas.data import available, load
from bayesnas.data.sources.data_root import data_root


def whole(name, **options):
    return load(name, test=0.0, **options).train


def test_digits_are_those_of_scikit_learn():
    x, y = whole("digits")
    expected_x, expected_y = datasets.load_digits(return_X_y=True)
    np.testing.assert_array_equal(x, expected_x.astype(np.float32) / 16)
    np.testing.assert_array_equal(y, expected_y)
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    pixels = (x * 16).to(torch.uint8).numpy().tobytes()
    assert hashlib.md5(pixels).hexdigest() == "fa70cba135d4cdd4cde65da70dbffde2"


def test_digits_can_be_images():
    flat, images = load("digits"), load("digits", flatten=False)
    assert images.train.x.shape == (1437, 1, 8, 8)
    assert torch.equal(images.test.x.flatten(1), flat.test.x)
    assert images.info.image_shape == flat.info.image_shape == (1, 8, 8)
    assert load("digits", flatten=True).train.fingerprint == flat.train.fingerprint


def test_diabetes_is_in_its_own_units():
    train = whole("diabetes")
    x, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    np.testing.assert_array_equal(train.x, x.astype(np.float32))
    np.testing.assert_array_equal(train.y, y.astype(np.float32))
    assert train.info.task == "regression"
    assert train.info.feature_names[:3] == ("age", "sex", "bmi")


def test_breast_cancer_has_its_names():
    train = whole("breast-cancer")
    x, y = datasets.load_breast_cancer(return_X_y=True)
    np.testing.assert_array_equal(train.x, x.astype(np.float32))
    np.testing.assert_array_equal(train.y, y)
    assert train.info.class_names == ("malignant", "benign")
    assert len(train.info.feature_names) == 30


def test_digits_are_the_default():
    assert load().train.fingerprint == load("digits").train.fingerprint


def test_every_part_of_an_embedded_set_has_every_class():
    data = load("digits", test=0.1, validation=0.1)
    for part in (data.train, data.validation, data.test):
        assert len(part.y.unique()) == 10


def test_the_list_names_what_load_knows():
    assert list(available()) == [
        "digits",
        "diabetes",
        "breast-cancer",
        "mnist",
        "fashion-mnist",
        "cifar10",
    ]
    assert all(line and "\n" not in line for line in available().values())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minst", "unknown data set 'minst'; did you mean 'mnist'"),
        ("Fashion_MNIST", "unknown data set 'Fashion_MNIST'; did you mean 'fashion-mnist'"),
        ("zzzz", r"unknown data set 'zzzz'\. Known: digits, diabetes"),
        ("table.xlsx", r"a path that ends in \.npz or \.csv, or a folder"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, message):
    with pytest.raises(ValueError, match=message):
        load(name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("diabetes", {"flatten": True}, "flatten goes with images, got True for 'diabetes'"),
        ("digits", {"target": "y"}, "target goes with a file of your own, got 'y'"),
        ("digits", {"task": "regression"}, "task goes with a file of your own"),
        ("digits", {"test": 1.5}, "test must be a fraction"),
        ("digits", {"validation": 0.9}, r"below 1, got 0\.2 \+ 0\.9"),
    ],
)
def test_options_that_do_not_fit_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        load(name, **options)


def test_the_root_is_the_argument_then_the_environment_then_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("BAYESNAS_DATA", str(tmp_path / "environment"))
    assert data_root(tmp_path / "argument") == tmp_path / "argument"
    assert data_root(None) == tmp_path / "environment"
    monkeypatch.setenv("BAYESNAS_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    cache = data_root(None)
    assert cache.name == "bayesnas"
    assert cache.is_relative_to(tmp_path)
    assert not cache.exists()
