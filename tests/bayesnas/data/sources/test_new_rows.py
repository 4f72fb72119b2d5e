"""New rows are found by name, standardised as those of the training part, and refused by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import bayesnas as bn


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.normal(50, 9, 40), "dose": rng.normal(3, 2, 40)})
    frame["price"] = 2 * frame["age"] - frame["dose"]
    frame["kind"] = np.where(frame["price"] > 97, "high", "low")
    frame.to_csv(tmp_path / "t.csv", index=False)
    return frame


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "new.csv"
        path.write_text(text)
        return path

    return write


def info_of(tmp_path, columns, **options):
    pd.read_csv(tmp_path / "t.csv")[columns].to_csv(tmp_path / "some.csv", index=False)
    return bn.data.load(tmp_path / "some.csv", **options).info


def test_columns_are_found_by_name_and_standardised_as_in_training(table, tmp_path, write):
    info = info_of(tmp_path, ["age", "dose", "price"], standardise=True)
    path = write("price,unused,dose,age\n100,7,3.5,61\n90,7,2.5,44\n")
    x, y = bn.data.read_rows(path, info, target="price")
    assert bn.data.read_rows(path, info)[1] is None  # it may be either of two
    units = info.standardisation
    raw = np.array([[61, 3.5], [44, 2.5]])
    np.testing.assert_allclose(x, (raw - units.x_mean) / units.x_scale, rtol=1e-6)
    np.testing.assert_allclose(y, (np.array([100, 90]) - units.y_mean[0]) / units.y_scale[0])
    assert bn.data.read_rows(write("age,dose\n1,2\n"), info)[1] is None


def test_the_training_rows_come_out_as_they_were(table, tmp_path):
    data = bn.data.load(tmp_path / "t.csv", target="kind", standardise=True, test=0.0)
    x, y = bn.data.read_rows(tmp_path / "t.csv", data.info)
    torch.testing.assert_close(x.float(), data.train.x)
    assert torch.equal(y, data.train.y)


def test_labels_are_numbered_as_in_training(table, tmp_path, write):
    info = info_of(tmp_path, ["age", "dose", "kind"])
    assert info.class_names == ("high", "low")
    _, y = bn.data.read_rows(write("kind,age,dose\nlow,1,1\nlow,2,2\n"), info)
    assert y.tolist() == [1, 1]


def test_a_table_without_names(tmp_path, write):
    (tmp_path / "t.csv").write_text("\n".join(f"{i},{i % 3},{i / 7}" for i in range(30)))
    info = bn.data.load(tmp_path / "t.csv").info
    assert bn.data.read_rows(write("1,2\n3,4\n"), info)[0].tolist() == [[1, 2], [3, 4]]
    x, y = bn.data.read_rows(write("1,2,0.5\n3,4,0.25\n"), info)
    assert (x.tolist(), y.tolist()) == ([[1, 2], [3, 4]], [0.5, 0.25])


def test_a_table_without_names_may_lack_cells(tmp_path, write):
    lines = [f"{i},{'' if i == 3 else i % 3},{i / 7}" for i in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    info = bn.data.load(tmp_path / "t.csv", test=0.0).info
    x, y = bn.data.read_rows(write("1,2,0.5\n3,,0.25\n"), info)
    assert (x.tolist(), y.tolist()) == ([[1, 2, 0], [3, 1, 1]], [0.5, 0.25])


def test_columns_of_a_table_in_memory_have_any_names():
    table = pd.DataFrame({0: [1.0, 2.0, 3.0, 4.0], 1: [1.0, None, 2.0, 4.0]})
    info = bn.data.from_arrays(table, [0, 1, 0, 1], test=0.0).info
    x, y = bn.data.read_rows(table[:2], info)
    assert (x.tolist(), y) == ([[1, 1, 0], [2, 2, 1]], None)


def test_images_of_an_archive(tmp_path):
    data = bn.data.from_arrays(torch.rand(20, 2, 4, 4), torch.arange(20) % 2, standardise=True)
    np.savez(tmp_path / "new.npz", x=np.ones((3, 2, 4, 4)), y=[0, 1, 1])
    x, y = bn.data.read_rows(tmp_path / "new.npz", data.info)
    expected = data.info.standardisation.apply(torch.ones(3, 2, 4, 4).double())
    assert torch.equal(x, expected)
    assert y.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age,weight,kind\n1,2,low\n", "must have the columns of the training data: dose missing"),
        ("1,2\n3,4\n", "age, dose missing"),
        ("age,dose\n1,\n", "must hold finite numbers, got others in row 0"),
        ("age,dose\n1,2\n1,inf\n", "must hold finite numbers, got others in row 1"),
        ("age,dose\n1,much\n", "column 'dose' must hold numbers, got 'much' in row 0"),
        ("age,dose,kind\n1,2,middle\n", "labels of the training data, high, low, got 'middle'"),
        ("", "the file must be a table"),
        ("age,dose\n", "at least one row"),
    ],
)
def test_wrong_tables_are_named(table, tmp_path, write, text, message):
    info = info_of(tmp_path, ["age", "dose", "kind"])
    with pytest.raises(ValueError, match=message):
        bn.data.read_rows(write(text), info)


def test_wrong_files_are_named(table, tmp_path):
    info = info_of(tmp_path, ["age", "dose", "price"])
    with pytest.raises(FileNotFoundError, match="there is no data file"):
        bn.data.read_rows(tmp_path / "absent.csv", info)
    (tmp_path / "new.txt").write_text("1")
    with pytest.raises(ValueError, match=r"data must be a .csv, .npz or .npy file"):
        bn.data.read_rows(tmp_path / "new.txt", info)
    np.savez(tmp_path / "new.npz", z=np.ones(3))
    with pytest.raises(ValueError, match=r"must hold the array x.*got z"):
        bn.data.read_rows(tmp_path / "new.npz", info)
    (tmp_path / "new.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match="whole .npz"):
        bn.data.read_rows(tmp_path / "new.npz", info)
    with pytest.raises(ValueError, match="target must be one of price, kind, got 'cost'"):
        bn.data.read_rows(tmp_path / "t.csv", info, target="cost")
    with pytest.raises(ValueError, match="y must hold numbers, as in training, got text"):
        bn.data.read_rows(tmp_path / "t.csv", info, target="kind")
