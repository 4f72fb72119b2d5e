"""Tables of any cells as numbers, beside scikit-learn's transformers fitted in the usual way."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from bayesnas.data import TableEncoding, UnseenCellWarning
from bayesnas.data.tables.cells import kind_of


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": rng.normal(size=40),
            "rooms": rng.integers(1, 6, 40),
            "colour": rng.choice(["red", "green", "blue"], 40),
            "garden": rng.choice([True, False], 40),
            "sold": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 900, 40), "h"),
        }
    )
    frame.loc[::7, "size"] = np.nan
    frame.loc[3, "colour"] = None
    return frame


def test_numbers_are_those_of_fitted_transformers(table):
    encoding = TableEncoding.fit(table[:30])
    encoded = pd.DataFrame(encoding.apply(table), columns=list(encoding.feature_names))
    imputer = SimpleImputer(strategy="median", add_indicator=True).fit(table[:30][["size"]])
    assert np.array_equal(encoded[["size", "size missing"]], imputer.transform(table[["size"]]))
    colours = table[["colour"]].astype(object).where(table[["colour"]].notna(), None)
    encoder = OneHotEncoder(sparse_output=False).fit(colours[:30])
    assert list(encoder.categories_[0]) == ["blue", "green", "red", None]
    names = ["colour=blue", "colour=green", "colour=red", "colour missing"]
    assert np.array_equal(encoded[names], encoder.transform(colours))
    assert np.array_equal(encoded["rooms"], table["rooms"])
    assert np.array_equal(encoded["garden"], table["garden"].astype(float))
    days = (table["sold"] - pd.Timestamp("1970-01-01")).dt.total_seconds() / 86400
    assert np.allclose(encoded["sold"], days, rtol=1e-12)


def test_json_keeps_all_of_it(table):
    encoding = TableEncoding.fit(table)
    again = TableEncoding.from_dict(json.loads(json.dumps(encoding.to_dict())))
    assert again == encoding
    assert np.array_equal(again.apply(table), encoding.apply(table))


def test_columns_come_in_any_order_among_others(table):
    encoding = TableEncoding.fit(table)
    shuffled = table[sorted(table.columns, reverse=True)].assign(more=1)
    assert np.array_equal(encoding.apply(shuffled), encoding.apply(table))


def test_what_training_had_not_is_said():
    encoding = TableEncoding.fit(pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": ["x", "y", "x"]}))
    new = pd.DataFrame({"a": [np.nan, 3.0], "b": ["z", "y"]})
    with pytest.warns(UnseenCellWarning) as said:
        encoded = encoding.apply(new)
    assert encoded.tolist() == [[2.0, 0.0, 0.0], [3.0, 0.0, 1.0]]
    messages = [str(warning.message) for warning in said]
    assert "'a' lacks 1 of 2 cells and lacked none in training: 2 stands" in messages[0]
    assert "'b' has 'z' in 1 of 2 rows" in messages[1]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1, 2], "number"),
        (["1.5", None, "2"], "number"),
        ([True, None, False], "boolean"),
        (["2024-01-31", "2024-02-01T10:00:00"], "date"),
        (pd.to_datetime(["2024-01-31"]), "date"),
        (["a", "b"], "category"),
        (["31.1.2024", "1.2.2024"], "category"),
        (pd.Categorical([3, 1]), "category"),
    ],
)
def test_kinds(cells, kind):
    assert kind_of("c", pd.Series(cells)) == kind


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1", "2", "two"], "column 'c' must hold numbers, got 'two' in row 2"),
        (["2024-01-01", "soon"], "column 'c' must hold ISO dates, got 'soon' in row 1"),
        ([None, None], "column 'c' must have a value"),
        ([f"n{i}" for i in range(20)], r"at most 100 categories.*20 different.*drop=\['c'\]"),
        ([1.0, np.inf, None], "column 'c' must hold numbers, got inf in row 1"),
    ],
)
def test_wrong_cells_are_named(cells, message):
    with pytest.raises(ValueError, match=message):
        TableEncoding.fit(pd.DataFrame({"c": cells}))


def test_wrong_new_cells_are_named(table):
    encoding = TableEncoding.fit(table)
    with pytest.raises(ValueError, match="colour missing, got"):
        encoding.apply(table.drop(columns="colour"))
    with pytest.raises(ValueError, match="column 'garden' must hold true and false, got 'big'"):
        encoding.apply(table.astype({"garden": object}).assign(garden="big"))
    with pytest.raises(ValueError, match="a stored table encoding lacks columns"):
        TableEncoding.from_dict({})
    with pytest.raises(ValueError, match="a stored column lacks kind"):
        TableEncoding.from_dict({"columns": [{"name": "a"}]})
    with pytest.raises(ValueError, match="kind of a stored column must be one of"):
        TableEncoding.from_dict({"columns": [{"name": "a", "kind": "colour"}]})
