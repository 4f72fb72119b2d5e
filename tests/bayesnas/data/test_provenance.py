"""What a data set says of where it came from gives the same data set again."""

from __future__ import annotations

import dataclasses
import json

import pytest

from bayesnas.data import DataInfo, DataSource, from_arrays, load


def again(data):
    stored = json.loads(json.dumps(data.info.to_dict()))
    return load(**DataInfo.from_dict(stored).source.to_dict())


@pytest.mark.parametrize(
    "options",
    [{}, {"test": 0.3, "validation": 0.1, "seed": 3}, {"standardise": True, "flatten": False}],
)
def test_a_named_set_comes_again(options):
    data = load("digits", **options)
    same = again(data)
    for part in ("train", "validation", "test"):
        first, second = getattr(data, part), getattr(same, part)
        assert (first is None) == (second is None)
        assert first is None or first.fingerprint == second.fingerprint


def test_every_part_says_the_same():
    data = load("digits", validation=0.1)
    assert data.train.info.source == data.validation.info.source == data.test.info.source


def test_a_file_is_found_from_another_folder(tmp_path, monkeypatch):
    lines = [f"{i},{i % 7},{i % 2}" for i in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c", *lines]))
    monkeypatch.chdir(tmp_path)
    data = load("t.csv", target="b", task="regression")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert again(data).train.fingerprint == data.train.fingerprint


def test_the_folder_of_a_set_is_kept_as_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load("digits", root="sets").info.source.root == str(tmp_path / "sets")
    assert load("digits").info.source.root is None


def test_arrays_have_no_source():
    assert from_arrays([[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1], test=0.5).info.source is None


def test_a_stored_source_needs_a_name():
    with pytest.raises(ValueError, match="lacks name_or_path"):
        DataSource.from_dict({"root": None})
    later = DataSource("digits").to_dict() | {"from_a_later_version": 1}
    assert DataSource.from_dict(later) == DataSource("digits")


def test_a_split_with_a_source_still_compares():
    info = load("digits").info
    assert DataInfo.from_dict(info.to_dict()) == info
    assert dataclasses.replace(info, source=None) != info
