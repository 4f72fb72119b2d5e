"""Data sets from files of the user's, against numpy and pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from bayesnas.data import from_arrays, load, read_rows

X = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
LABELS = np.arange(30) % 3
NAMES = np.array(["cod", "ape", "bee"])


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_an_npz_is_split_like_arrays(tmp_path):
    data = load(write_npz(tmp_path / "mine.npz", x=X, y=LABELS), test=0.3, validation=0.2, seed=5)
    same = from_arrays(X, LABELS, test=0.3, validation=0.2, seed=5)
    assert data.name == "mine.npz"
    for part in ("train", "validation", "test"):
        assert getattr(data, part).fingerprint == getattr(same, part).fingerprint


def test_an_npz_brings_its_own_parts(tmp_path):
    arrays = {"x_train": X[:20], "y_train": LABELS[:20], "x_test": X[20:], "y_test": LABELS[20:]}
    path = write_npz(tmp_path / "parts.npz", **arrays)
    data = load(path)
    np.testing.assert_array_equal(data.train.x, X[:20])
    np.testing.assert_array_equal(data.test.y, LABELS[20:])
    assert data.validation is None
    assert len(load(path, validation=0.25).validation) == 5
    with pytest.raises(ValueError, match=r"parts\.npz.* brings its own test part"):
        load(path, test=0.2)
    arrays |= {"x_validation": X[:5], "y_validation": LABELS[:5]}
    full = load(write_npz(tmp_path / "full.npz", **arrays))
    np.testing.assert_array_equal(full.validation.x, X[:5])
    with pytest.raises(ValueError, match="brings its own validation part"):
        load(tmp_path / "full.npz", validation=0.2)


def test_a_training_part_alone_is_split(tmp_path):
    data = load(write_npz(tmp_path / "a.npz", x_train=X, y_train=LABELS))
    assert (len(data.train), len(data.test)) == (24, 6)


def test_text_labels_of_an_npz_are_numbered_alike_in_all_parts(tmp_path):
    arrays = {"x_train": X, "y_train": NAMES[LABELS], "x_test": X[:2], "y_test": NAMES[[2, 0]]}
    data = load(write_npz(tmp_path / "a.npz", **arrays))
    assert data.info.class_names == ("ape", "bee", "cod")
    assert data.test.y.tolist() == [1, 2]


def test_images_of_an_npz_are_kept_or_flattened(tmp_path):
    images = X.reshape(30, 1, 3, 1)
    path = write_npz(tmp_path / "a.npz", x=images, y=LABELS)
    assert load(path).train.x.shape == (24, 1, 3, 1)
    assert torch.equal(load(path, flatten=True).train.x, load(path).train.x.flatten(1))


@pytest.mark.parametrize("length", [0, 1, 10, 100, 200, 300, 400, 500, 600, -22, -1])
def test_a_truncated_npz_is_named(tmp_path, length):
    path = write_npz(tmp_path / "cut.npz", x=X, y=LABELS)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"cut\.npz: the file must be a whole \.npz"):
        load(path)


def test_a_compressed_npz_with_flipped_bytes_is_named(tmp_path):
    path = tmp_path / "flipped.npz"
    np.savez_compressed(path, x=X, y=LABELS)
    content = bytearray(path.read_bytes())
    content[150:160] = bytes(b ^ 255 for b in content[150:160])
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"flipped\.npz: the file must be a whole \.npz"):
        load(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "the arrays must be x, y, .*got x$"),
        ({"x": X, "target": LABELS}, "got target, x"),
        ({"x": X, "y": LABELS, "z": LABELS}, "got x, y, z"),
        ({"x_train": X, "y_train": LABELS, "x_test": X}, "got x_test, x_train, y_train"),
        ({"x": X, "y": LABELS[:4]}, "same length, got 30 and 4 rows"),
        ({"x": X.astype(str), "y": LABELS}, "x must hold real numbers"),
        ({"x": X, "y": LABELS.astype(object)}, "whole .npz of plain arrays"),
        (
            {"x_train": X, "y_train": LABELS, "x_test": X[:, :2], "y_test": LABELS},
            r"one shape in all parts, got \{'train': \[3\], 'test': \[2\]\}",
        ),
        (
            {"x_train": X, "y_train": LABELS, "x_test": X * np.nan, "y_test": LABELS},
            r"test: x must be finite, got nan at \[0, 0\]",
        ),
    ],
)
def test_a_wrong_npz_is_named(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=rf"wrong\.npz: .*{message}"):
        load(write_npz(tmp_path / "wrong.npz", **arrays))


def test_a_single_array_under_the_name_of_an_npz_is_named(tmp_path):
    with (tmp_path / "single.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(ValueError, match=r"whole \.npz of plain arrays"):
        load(tmp_path / "single.npz")


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("labels", [LABELS, NAMES[LABELS]], ids=["numbers", "text"])
def test_a_csv_is_read_with_and_without_a_header(tmp_path, header, labels):
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(kind=labels)
    frame.to_csv(tmp_path / "mine.csv", index=False, header=header)
    data = load(tmp_path / "mine.csv", test=0.0)
    np.testing.assert_allclose(data.train.x, X, rtol=1e-6)
    expected = LABELS if labels is LABELS else np.array([2, 0, 1])[LABELS]
    np.testing.assert_array_equal(data.train.y, expected)
    named = ("a", "b", "c") if header else ("column0", "column1", "column2")
    assert data.info.feature_names == named
    assert data.info.class_names == (None if labels is LABELS else ("ape", "bee", "cod"))


def test_the_target_of_a_csv_can_be_any_column(tmp_path):
    path = write(tmp_path / "a.csv", "price,rooms,area\n1.5,2,30\n2.5,3,40\n3.5,4,50\n")
    data = load(str(path), target="price", test=0.0)
    assert data.info.feature_names == ("rooms", "area")
    assert data.train.y.tolist() == [1.5, 2.5, 3.5]
    assert data.info.task == "regression"
    assert load(path, task="regression", test=0.0).train.y.tolist() == [30.0, 40.0, 50.0]


def test_a_missing_number_in_the_first_row_is_no_header(tmp_path):
    path = write(tmp_path / "a.csv", ",2.0,0\n1.0,2.0,1\n")
    data = load(path, test=0.0)
    assert data.info.feature_names == ("column0", "column0 missing", "column1")
    assert data.train.x.tolist() == [[1.0, 1.0, 2.0], [1.0, 0.0, 2.0]]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "a,b,y\n1,2,0\n1,red,1\n1,blue,0\n",
            {},
            "column 'b' must hold numbers, got 'red' in row 1",
        ),
        ("1,red,0\n2,blue,1\n", {}, "a first line that names its columns, got '1'"),
        ("a,b\n1,0\n2,1\n", {"target": "c"}, "target must be one of a, b, got 'c'"),
        ("a,y\n1,0\ninf,1\n", {}, r"x must be finite, got inf at \[1, 0\]"),
        ("a,b,y\n1,,0\n2,,1\n", {}, "column 'b' must have a value in some row, got none"),
        ("a,b\n1,0\n2,1\n", {"drop": ["c"]}, "drop must be one of a, b, got 'c'"),
        ("a,b\n1,0\n2,1\n", {"drop": ["a"]}, "a column of features, got none"),
        ("a,y\n1,yes\n2,\n", {}, "all numbers or all text, got nan, row 1"),
        ("a,y\n1,151\n2,75\n", {}, "give class_names= .*or task='regression'"),
        ("a:y\n1:0\n", {}, "two columns or more, separated by commas or semicolons, got 1"),
        ("a,y\n1,2\n1,2,3,4\n", {}, "the file must be a table, got"),
        ("a,y\n", {}, "at least one row"),
        ("", {}, "the file must be a table, got"),
        ("a,y\n1,0\n2,1\n", {"flatten": True}, "flatten goes with images"),
    ],
)
def test_a_wrong_csv_is_named(tmp_path, text, options, message):
    with pytest.raises(ValueError, match=rf"wrong\.csv: .*{message}"):
        load(write(tmp_path / "wrong.csv", text), **options)


def test_a_csv_that_is_no_text_is_named(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a,y\n\xff\xfe\x00,1\n")
    with pytest.raises(ValueError, match=r"a\.csv: the file must be a table"):
        load(tmp_path / "a.csv")


def test_a_target_for_an_npz_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"target names a column of a \.csv, got 'y' for a \.npz"):
        load(write_npz(tmp_path / "a.npz", x=X, y=LABELS), target="y")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no data file .*none\.csv"):
        load(tmp_path / "none.csv")


@pytest.mark.parametrize("decimal", [",", "."])
def test_semicolons_and_decimal_commas_as_spreadsheets_write_them(tmp_path, decimal):
    table = pd.DataFrame(
        {"size": [1.5, 2.25, -0.5, 4.0], "town": ["Ulm, Donau", "Köln", "Ulm, Donau", None]}
    )
    table["price"] = [10.5, 20.0, 30.25, 40.0]
    table.to_csv(tmp_path / "commas.csv", index=False)
    table.to_csv(tmp_path / "semicolons.csv", index=False, sep=";", decimal=decimal)
    expected, actual = (
        load(tmp_path / name, test=0.25).train for name in ("commas.csv", "semicolons.csv")
    )
    assert torch.equal(actual.x, expected.x)
    assert torch.equal(actual.y, expected.y)
    assert actual.info.feature_names == expected.info.feature_names
    again, _ = read_rows(tmp_path / "semicolons.csv", expected.info)
    assert torch.equal(again, read_rows(tmp_path / "commas.csv", expected.info)[0])


def test_a_table_in_another_encoding_is_told_what_to_do(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("ort;y\nKöln;1\nUlm;2\n".encode("cp1252"))
    with pytest.raises(ValueError, match="in UTF-8.*save it as 'CSV UTF-8'"):
        load(path)
