"""Arrays, tables and lists as tensors: the same numbers, or an error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from bayesnas.data import from_arrays
from bayesnas.data.conversion import as_pair, as_tensor
from bayesnas.data.row_weights import RowWeights


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (np.float16, torch.float16),
        (np.float32, torch.float32),
        (np.longdouble, torch.float64),
        (np.int8, torch.int8),
        (np.uint8, torch.uint8),
        (np.uint32, torch.int64),
        (np.bool_, torch.bool),
        (">i4", torch.int32),
    ],
)
def test_types_are_kept(given, dtype):
    array = np.array([[0, 1], [1, 0]]).astype(given)
    tensor = as_tensor("x", array)
    assert tensor.dtype == dtype
    assert tensor.tolist() == array.tolist()
    tensor[0, 0] = 1  # in memory of its own
    assert array[0, 0] == 0


def test_a_tensor_is_handed_back():
    x = torch.zeros(2, 3, dtype=torch.float16)
    assert as_tensor("x", x) is x


def test_columns_of_several_types_are_held_exactly():
    table = pd.DataFrame({"a": [1, 2], "b": [True, False], "c": [0.5, 0.25]})
    tensor = as_tensor("x", table)
    assert tensor.dtype == torch.float64
    assert tensor.tolist() == [[1.0, 1.0, 0.5], [2.0, 0.0, 0.25]]
    large = table.assign(a=[2**53 + 1, 2])
    with pytest.raises(ValueError, match=r"x column 'a' must hold numbers that float64 holds"):
        as_tensor("x", large)
    assert as_tensor("x", large[["a"]]).tolist() == [[2**53 + 1], [2]]


def test_numbers_beyond_all_types_of_torch_are_refused():
    with pytest.raises(ValueError, match="x must hold numbers that int64 holds"):
        as_tensor("x", np.array([2**63], dtype=np.uint64))


def test_frames_with_one_name_twice_are_read_by_place():
    table = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], columns=["a", "a"])
    assert as_tensor("x", table).tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pd.DataFrame({"a": [1.0]}), "or a pair .*got DataFrame"),
        ([[1.0, 2.0], [3.0, 4.0]], "got list"),
        ((1, 2, 3), "got tuple"),
        (torch.utils.data.TensorDataset(torch.zeros(2)), r"give its tensors, \(x, y\)"),
    ],
)
def test_what_is_no_pair_is_named(data, message):
    with pytest.raises(TypeError, match=message):
        as_pair(data)


def test_sparse_and_complex_tensors_are_refused():
    with pytest.raises(TypeError, match=r"x must be dense.*to_dense\(\)"):
        as_tensor("x", torch.eye(3).to_sparse())
    with pytest.raises(TypeError, match="x must hold real numbers, got .*torch.complex64"):
        as_tensor("x", torch.zeros(2, dtype=torch.complex64))


def test_several_labels_a_row_are_split_without_strata():
    labels = np.arange(40).reshape(20, 2) % 3 == 0
    data = from_arrays(np.arange(40.0).reshape(20, 2), labels, test=0.25)
    assert data.train.y.shape == (15, 2)
    assert (data.info.task, data.info.classes) == ("classification", 2)
    assert data.test.y.tolist() == (data.test.x % 3 == 0).long().tolist()


def test_targets_and_weights_come_back_as_they_were():
    y = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    weights = torch.arange(5.0)
    packing = RowWeights(y.shape[1:], y.dtype)
    targets, of_rows = packing.unpack(packing.pack(y, weights)[[3, 1]])
    assert targets.equal(y[[3, 1]])
    assert of_rows.tolist() == [3.0, 1.0]
