"""Parts of a data set: what they refuse, and what they keep."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

from bayesnas.data import DataInfo, Split, Standardisation, from_arrays, load


def pair(n=4, d=3):
    return torch.arange(float(n * d)).reshape(n, d), torch.arange(n) % 2


def test_a_pair_of_tensors_becomes_a_checked_split():
    x, y = pair()
    split = Split.of((x.double(), y.to(torch.uint8)))
    assert split.x.dtype == torch.float32
    assert split.y.dtype == torch.int64
    assert (split.info.task, split.info.classes, split.info.n) == ("classification", 2, 4)
    assert len(split) == 4
    same_x, same_y = split
    assert torch.equal(same_x, x)
    assert torch.equal(same_y, y)


def test_the_type_of_y_decides_the_task_unless_it_is_given():
    x, y = pair()
    assert Split.of((x, y.float())).info.task == "regression"
    assert Split.of((x, y.double())).y.dtype == torch.float32
    labels = Split.of((x, y.float()), task="classification")
    assert labels.y.dtype == torch.int64
    assert labels.info.classes == 2
    targets = Split.of((x, y), task="regression")
    assert targets.y.dtype == torch.float32
    assert targets.info.classes is None


def test_x_may_be_one_number_a_row():
    x, y = torch.arange(4.0), torch.arange(4.0)
    assert Split.of((x, y)).x.shape == (4,)
    scaled = from_arrays(x, y, test=0.0, standardise=True)
    np.testing.assert_allclose(scaled.train.x, (x - 1.5) / np.std([0, 1, 2, 3]), rtol=1e-6)


def test_a_split_passes_through_with_its_info():
    train = load("digits").train
    again = Split.of(train)
    assert again.info is train.info
    assert again.x is train.x


def test_a_split_taken_as_more_classes_loses_the_names_of_fewer():
    train = load("breast-cancer").train
    wider = Split.of(train, classes=5)
    assert wider.info.classes == 5
    assert wider.info.class_names is None
    assert wider.info.feature_names == train.info.feature_names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:3], y), r"same length, got 3 and 4 rows"),
        (lambda x, y: (x[:0], y[:0]), r"at least one row and one feature, got shapes \[0, 3\]"),
        (lambda x, y: (x[:, :0], y), r"at least one row and one feature"),
        (lambda x, y: (x[0, 0], y), r"must have rows, got shapes \[\] and \[4\]"),
        (
            lambda x, y: (x.index_fill(0, torch.tensor(2), float("nan")), y),
            r"nan at \[2, 0\] \(3 v",
        ),
        (lambda x, y: (x.index_fill(1, torch.tensor(1), float("inf")), y), r"inf at \[0, 1\]"),
        (lambda x, y: (x, y - 1), r"labels y must be 0 or above, got -1 in row 0"),
        (
            lambda x, y: (x, torch.stack([y, y + 2], 1)),
            r"labels y must have shape \[n\].*got \[4, 2\]",
        ),
        (lambda x, y: (x, y / 0.0), r"y must be finite, got nan at \[0\]"),
    ],
)
def test_bad_pairs_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        Split.of(change(*pair()))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.0, 1.0, 1.5, 0.0], r"whole numbers, got 1\.5 in row 2"),
        ([0, 1, 2, 3], r"must be in 0\.\.2, got 3 in row 3"),
        ([0, -1, 2, 3], r"must be in 0\.\.2, got -1 in row 1"),
        ([0.0, 1.0, 0.0, float("nan")], r"y must be finite, got nan at \[3\] \(1 value is"),
    ],
)
def test_bad_labels_are_named(y, message):
    with pytest.raises(ValueError, match=message):
        Split.of((pair()[0], torch.tensor(y)), task="classification", classes=3)


def test_a_regression_s_targets_are_no_labels():
    with pytest.raises(ValueError, match=r"labels y must be in 0\.\.9, got \d+"):
        Split.of(load("diabetes").train, task="classification", classes=10)


def test_what_is_neither_a_split_nor_a_pair_is_named():
    with pytest.raises(TypeError, match="pair .*of tensors, got DataSet"):
        Split.of(load("digits"))
    with pytest.raises(TypeError, match="got tuple"):
        Split.of((np.zeros((2, 2)), np.zeros(2)))


def test_to_moves_both_and_keeps_the_rest():
    split = Split.of(pair())
    moved = split.to("meta")
    assert moved.x.device.type == moved.y.device.type == "meta"
    assert moved.info is split.info
    assert split.x.device.type == "cpu"


def test_the_fingerprint_is_that_of_the_bytes():
    x, y = Split.of(pair())
    digest = hashlib.sha256()
    digest.update(b"<f4 (4, 3);" + x.numpy().tobytes() + b"<i8 (4,);" + y.numpy().tobytes())
    assert Split.of((x, y)).fingerprint == digest.hexdigest()


def test_the_fingerprint_tells_numbers_shapes_and_types_apart():
    x, y = pair()
    changed = x.clone()
    changed[0, 0] = 1e-9
    others = [
        Split.of((changed, y)),
        Split.of((x.reshape(4, 3, 1), y)),
        Split.of((x, y), task="regression"),
        Split.of((x, 1 - y)),
    ]
    assert len({Split.of((x, y)).fingerprint, *(s.fingerprint for s in others)}) == 5


def test_the_fingerprint_does_not_see_the_memory_layout():
    x, y = pair()
    assert Split.of((x.t().contiguous().t(), y)).fingerprint == Split.of((x, y)).fingerprint


@pytest.mark.parametrize("name", ["digits", "diabetes", "breast-cancer"])
@pytest.mark.parametrize("standardise", [False, True])
def test_info_goes_through_json(name, standardise):
    info = load(name, standardise=standardise).test.info
    assert DataInfo.from_dict(json.loads(json.dumps(info.to_dict()))) == info


def test_stored_info_that_lacks_a_field_is_named():
    values = load("digits").train.info.to_dict()
    del values["task"], values["n"]
    with pytest.raises(ValueError, match="lacks task, n"):
        DataInfo.from_dict(values)
    with pytest.raises(ValueError, match="lacks x_scale"):
        Standardisation.from_dict({"x_mean": [0.0]})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"part": "dev"}, "part must be one of train, .*got 'dev'"),
        ({"task": "ranking"}, "task must be one of classification, regression, got 'ranking'"),
        ({"classes": None}, "got None for a classification"),
        ({"class_names": ("a",)}, "each of 2 classes, got 1"),
    ],
)
def test_info_that_contradicts_itself_is_named(values, message):
    fields = {"name": "a", "part": "train", "task": "classification", "n": 3, "classes": 2}
    with pytest.raises(ValueError, match=message):
        DataInfo(**{**fields, **values})
