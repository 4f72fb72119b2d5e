"""Comparisons, and how they are written."""

from __future__ import annotations

import csv
import io

import pytest

from bayesnas.reproductions import REPRODUCTIONS, Comparison
from bayesnas.reproductions.tables import as_csv, as_text


def comparison(ours, published=None, quantity="accuracy", **labels):
    return Comparison(labels, quantity, published, tuple(ours))


def test_mean_and_spread_over_starts():
    row = comparison([1.0, 3.0], method="a")
    assert row.mean == 2.0
    assert row.spread == pytest.approx(2**0.5)
    assert comparison([1.0], method="a").spread is None


def test_csv_has_every_label_and_every_start():
    comparisons = [
        comparison([0.25, 0.5], 0.75, method="a", λ="1"),
        comparison([7.0], quantity="updates", method="a", settings="as run"),
    ]
    rows = list(csv.DictReader(io.StringIO(as_csv(comparisons))))
    assert [row["λ"] for row in rows] == ["1", ""]
    assert [row["settings"] for row in rows] == ["", "as run"]
    assert (float(rows[0]["published"]), float(rows[0]["ours"])) == (0.75, 0.375)
    assert [float(value) for value in rows[0]["starts"].split()] == [0.25, 0.5]
    assert (rows[1]["published"], rows[1]["spread"]) == ("", "")


def test_text_leaves_a_cell_empty_where_there_is_no_figure():
    comparisons = [
        comparison([1.0], method="a", λ="1"),
        comparison([2.0], 3.0, method="b", λ="10"),
    ]
    heading, columns, first, second = as_text(comparisons).splitlines()
    assert heading == "accuracy, ours (published)"
    assert columns.split() == ["method", "λ", "=", "1", "λ", "=", "10"]
    assert first.split() == ["a", "1.0000"]
    assert second.split() == ["b", "2.0000", "(3.0000)"]


def test_one_label_goes_down():
    comparisons = [comparison([5.0], 4.0, model="LeNet"), comparison([6.0], model="VGG")]
    assert as_text(comparisons).splitlines()[2:] == [
        "LeNet  5.0000 (4.0000)",
        "VGG             6.0000",
    ]


def test_every_quantity_has_a_table():
    comparisons = [comparison([1.0], quantity=q, method="a", λ="1") for q in ("one", "two")]
    assert as_text(comparisons).count("ours (published)") == 2


def test_the_registry_says_what_is_reproduced():
    assert "varhypernet" in REPRODUCTIONS
    for entry in REPRODUCTIONS.values():
        assert entry.title
        assert entry.reference
        assert callable(entry.run)
