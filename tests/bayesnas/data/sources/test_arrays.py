"""Data sets from arrays: the split, the task, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import train_test_split

from bayesnas.data import from_arrays

X = np.random.default_rng(0).normal(size=(50, 4))
LABELS = np.arange(50) % 3
TARGETS = X.sum(1)


def rows_of(part):
    """The rows of X that a part holds, in its order."""
    return [int(np.flatnonzero(X[:, 0].astype(np.float32) == x)[0]) for x in part.x[:, 0].numpy()]


def test_the_split_is_that_of_scikit_learn_in_the_order_of_the_data():
    data = from_arrays(X, LABELS, test=0.3, seed=7)
    train, test = train_test_split(np.arange(50), test_size=0.3, random_state=7, stratify=LABELS)
    assert rows_of(data.train) == sorted(train)
    assert rows_of(data.test) == sorted(test)
    assert np.array_equal(data.test.y, LABELS[sorted(test)])
    assert data.validation is None


def test_a_regression_s_split_is_not_stratified():
    data = from_arrays(X, TARGETS, test=0.3, seed=7)
    train, test = train_test_split(np.arange(50), test_size=0.3, random_state=7)
    assert rows_of(data.train) == sorted(train)
    assert rows_of(data.test) == sorted(test)


def test_three_parts_share_no_row_and_leave_none_out():
    data = from_arrays(X, LABELS, test=0.2, validation=0.1, seed=1)
    parts = [rows_of(p) for p in (data.train, data.validation, data.test)]
    assert [len(p) for p in parts] == [35, 5, 10]
    assert sorted(row for part in parts for row in part) == list(range(50))
    assert [p.info.part for p in (data.train, data.validation, data.test)] == [
        "train",
        "validation",
        "test",
    ]
    assert [p.info.n for p in (data.train, data.validation, data.test)] == [35, 5, 10]


def test_each_class_is_held_out_in_proportion():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    data = from_arrays(np.zeros((100, 1)), labels, test=0.2, validation=0.1)
    assert torch.bincount(data.test.y).tolist() == [12, 6, 2]
    assert torch.bincount(data.validation.y).tolist() == [6, 3, 1]


def test_the_seed_decides_the_split():
    def held_out(seed):
        return rows_of(from_arrays(X, LABELS, seed=seed).test)

    assert held_out(0) == held_out(0)
    assert held_out(0) != held_out(1)


def test_zero_means_no_such_part():
    data = from_arrays(X, LABELS, test=0.0, validation=0.0)
    assert data.test is None
    assert data.validation is None
    np.testing.assert_array_equal(data.train.x, X.astype(np.float32))


def test_the_global_random_state_is_left_alone():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    from_arrays(X, LABELS, validation=0.1)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


@pytest.mark.parametrize("make", [lambda x: x, torch.from_numpy], ids=["numpy", "torch"])
def test_nothing_is_shared_with_the_arrays_given(make):
    x, y = X.astype(np.float32), LABELS.astype(np.int64)
    data = from_arrays(make(x), make(y), test=0.0)
    before = data.train.fingerprint
    x[:], y[:] = 0, 0
    assert from_arrays(data.train.x, data.train.y, test=0.0).train.fingerprint == before


@pytest.mark.parametrize(
    ("y", "task", "classes"),
    [
        (LABELS, "classification", 3),
        (LABELS.astype(np.uint16), "classification", 3),
        (LABELS == 0, "classification", 2),
        (LABELS.tolist(), "classification", 3),
        (torch.from_numpy(LABELS), "classification", 3),
        (pd.Series(LABELS), "classification", 3),
        (pd.Series(LABELS, dtype="Int64"), "classification", 3),
        (pd.DataFrame({"y": LABELS}), "classification", 3),
        (LABELS.astype(np.float16), "regression", None),
        (TARGETS, "regression", None),
        (np.stack([TARGETS, TARGETS], 1), "regression", None),
    ],
)
def test_the_type_of_y_decides_the_task(y, task, classes):
    info = from_arrays(X, y).info
    assert (info.task, info.classes) == (task, classes)


def test_the_task_can_be_given():
    whole = from_arrays(X, LABELS.astype(float), task="classification")
    assert whole.train.y.dtype == torch.int64
    assert whole.info.classes == 3
    quantity = from_arrays(X, LABELS * 100, task="regression")
    assert quantity.train.y.dtype == torch.float32


def test_text_is_numbered_in_sorted_order():
    names = np.array(["cod", "ape", "bee"])
    for y in (names[LABELS], pd.Series(names[LABELS]), pd.Categorical(names[LABELS])):
        data = from_arrays(X, y, test=0.0)
        assert data.info.class_names == ("ape", "bee", "cod")
        assert data.train.y.tolist() == np.array([2, 0, 1])[LABELS].tolist()


def test_names_are_kept():
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    data = from_arrays(frame, LABELS, name="mine", class_names=["u", "v", "w", "never"])
    assert data.name == data.test.info.name == "mine"
    assert data.info.feature_names == ("a", "b", "c", "d")
    assert data.info.class_names == ("u", "v", "w", "never")
    assert data.info.classes == 4


def test_byte_order_and_wide_types_are_read():
    data = from_arrays(X.astype(">f8"), LABELS.astype(">i4"), test=0.0)
    np.testing.assert_array_equal(data.train.x, X.astype(np.float32))
    np.testing.assert_array_equal(data.train.y, LABELS)


def test_too_few_rows_of_a_class_are_said_and_split_all_the_same():
    labels = LABELS.copy()
    labels[0] = 3
    with pytest.warns(UserWarning, match="not stratified: 50 rows, 10 of them held out") as caught:
        data = from_arrays(X, labels)
    assert len(data.test) == 10
    assert caught[0].filename == __file__


def with_value(value, dtype=float):
    x = X.astype(dtype)
    x[3, 2] = value
    return x


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (with_value(np.nan), LABELS, {}, r"x must be finite, got nan at \[3, 2\]"),
        (with_value(-np.inf), LABELS, {}, r"x must be finite, got -inf at \[3, 2\]"),
        (with_value(1e300), LABELS, {}, r"x must be finite, got inf at"),
        (X, with_value(np.nan)[:, 2], {}, r"y must be finite, got nan at \[3\]"),
        (X, np.full(50, 1e300), {}, r"y must be finite, got inf at"),
        (X, LABELS[:-1], {}, "same length, got 50 and 49 rows"),
        (X[:0], LABELS[:0], {}, "at least one row"),
        (X, LABELS - 1, {}, "labels y must be 0 or above, got -1 in row 0"),
        (X, LABELS * 2, {}, "3 different ones up to 4 and none equal to 1; give class_names="),
        (X, LABELS + 1, {}, "none equal to 0"),
        (X, LABELS, {"class_names": ["a", "b"]}, r"must be in 0\.\.1, got 2 in row 2"),
        (X, TARGETS, {"task": "classification"}, "labels y must be whole numbers"),
        (X, LABELS, {"task": "both"}, "task must be one of .*got 'both'"),
        (X, [*LABELS[:-1].tolist(), "two"], {}, "all numbers or all text, got 0, row 0"),
        (X, ["a"] * 49 + [None], {}, "all numbers or all text, got None, row 49"),
        (X, ["a", "b"] * 25, {"class_names": ["a", "b"]}, "class_names goes with labels 0"),
        (X[0, 0], LABELS, {}, r"x and y must have rows, got shapes \[\] and \[50\]"),
        ([[1.0, 2.0], [3.0]], [0, 1], {}, "x must be a rectangular array"),
        (X.astype(str), LABELS, {}, "x must hold real numbers, got an array of <U"),
        (X.astype(complex), LABELS, {}, "x must hold real numbers, got an array of complex128"),
        (X, LABELS.astype(complex), {}, "y must hold real numbers"),
        (X, LABELS, {"feature_names": ["a"]}, "each of 4 columns, got 1"),
        (X, LABELS, {"test": 1.0}, r"test must be a fraction in \[0, 1\), got 1\.0"),
        (X, LABELS, {"test": -0.1}, "test must be a fraction"),
        (X, LABELS, {"test": float("nan")}, "test must be a fraction"),
        (X, LABELS, {"test": True}, "test must be a fraction .*got True"),
        (X, LABELS, {"test": "0.2"}, "test must be a fraction .*got '0.2'"),
        (X, LABELS, {"validation": 10}, "validation must be a fraction .*got 10"),
        (X, LABELS, {"test": 0.5, "validation": 0.5}, r"must be below 1, got 0\.5 \+ 0\.5"),
        (X[:1], TARGETS[:1], {}, "holding out 1 of 1 rows leaves none"),
        (X, LABELS, {"seed": -1}, "seed must be a whole number from 0 to 4294967295, got -1"),
        (X, LABELS, {"seed": 0.5}, "seed must be a whole number"),
    ],
)
def test_bad_input_is_named(x, y, options, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(x, y, **options)


def test_a_column_of_text_becomes_one_for_each_category():
    frame = pd.DataFrame({"age": [1.0, 2.0], "colour": ["red", "blue"]})
    data = from_arrays(frame, [0, 1], test=0.0)
    assert data.info.feature_names == ("age", "colour=blue", "colour=red")
    assert data.train.x.tolist() == [[1.0, 0.0, 1.0], [2.0, 1.0, 0.0]]


def test_a_column_of_numbers_and_text_is_named():
    frame = pd.DataFrame({"age": [1.0, 2.0], "size": ["3", "big"]})
    with pytest.raises(ValueError, match="column 'size' must hold numbers, got 'big' in row 1"):
        from_arrays(frame, [0, 1])


def test_a_missing_value_of_a_frame_is_filled():
    frame = pd.DataFrame({"age": pd.array([1, None, 4], dtype="Int64")})
    data = from_arrays(frame, [0, 1, 1], test=0.0)
    assert data.info.feature_names == ("age", "age missing")
    assert data.train.x.tolist() == [[1.0, 0.0], [2.5, 1.0], [4.0, 0.0]]
