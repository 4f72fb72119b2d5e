"""A table with text, dates, booleans and missing cells, from file to predictions for new rows."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
import torch

import bayesnas as bn
from bayesnas.cli.main import main


def houses_for_sale():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "area": rng.normal(100, 20, 120).round(1),
            "kind": rng.choice(["flat", "house", "hut"], 120),
            "garden": rng.choice([True, False], 120),
            "sold": (pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(120), "D")).strftime(
                "%Y-%m-%d"
            ),
        }
    )
    frame["dear"] = np.where((frame["kind"] == "house") | (frame["area"] > 130), "yes", "no")
    frame.loc[::6, "area"] = np.nan
    # In every split some rows to fit on have none, and lose nothing by it.
    frame.loc[frame.index[frame["kind"] == "flat"][::2], "kind"] = None
    return frame


@pytest.fixture
def houses(tmp_path):
    frame = houses_for_sale()
    frame.to_csv(tmp_path / "houses.csv", index=False)
    return frame


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("houses")
    houses_for_sale().to_csv(folder / "houses.csv", index=False)
    fitted(folder)
    return folder / "run"


def fitted(tmp_path, *options):
    words = [
        *("fit", "gaussian-net", "--data", str(tmp_path / "houses.csv"), "--target", "dear"),
        *("--standardise", "--hidden", "none", "--steps", "100", "--lr", "0.1"),
        *("--out", str(tmp_path / "run"), *options),
    ]
    assert main([*words, "--quiet"]) == 0


@pytest.mark.filterwarnings("always::bayesnas.data.UnseenCellWarning")
def test_two_commands_lead_to_predictions(houses, run, tmp_path, capsys):
    new = houses.drop(columns="dear")[["sold", "kind", "garden", "area"]]
    new.loc[0, "kind"] = "castle"
    new.to_csv(tmp_path / "new.csv", index=False)
    capsys.readouterr()
    assert main(["predict", str(run), "--data", str(tmp_path / "new.csv")]) == 0
    out, err = capsys.readouterr()
    rows = pd.read_csv(io.StringIO(out))
    assert "column 'kind' has 'castle' in 1 of 120 rows" in err
    assert (rows["label"][1:] == houses["dear"][1:]).mean() > 0.85
    assert set(rows.columns) == {"label", "probability_no", "probability_yes"}


def test_file_table_and_compact_network_agree(houses, run, tmp_path):
    post = bn.load(run)
    houses.to_csv(tmp_path / "new.csv", index=False)
    x, y = bn.data.read_rows(tmp_path / "new.csv", post.data)
    again, targets = bn.data.read_rows(houses, post.data)
    assert torch.equal(x, again)
    assert torch.equal(y, targets)
    assert y.tolist() == (houses["dear"] == "yes").astype(int).tolist()
    assert post.evaluate((x, y))["accuracy"] > 0.85

    numbers = torch.from_numpy(post.data.encoding.apply(houses)).float()
    plain = post.compact(standardise=True)
    assert torch.allclose(plain(numbers), post.compact()(x.float()), atol=1e-4)
    post.export(tmp_path / "net.pt2")
    extra = {"bayesnas.json": ""}
    torch.export.load(tmp_path / "net.pt2", extra_files=extra)
    about = json.loads(extra["bayesnas.json"])
    assert about["inputs"]["names"] == list(post.data.feature_names)
    assert bn.data.TableEncoding.from_dict(about["table"]) == post.data.encoding


def test_a_table_as_it_came_is_refused_where_numbers_are_due(houses, run, tmp_path):
    post = bn.load(run)
    with pytest.raises(ValueError, match=r"read_rows\(x, post.data\)\[0\]"):
        post.predict(houses.drop(columns="dear"))
    np.savez(tmp_path / "new.npz", x=np.ones((2, 4)))
    with pytest.raises(ValueError, match="data must be a .csv file or a table"):
        bn.data.read_rows(tmp_path / "new.npz", post.data)


def test_what_is_left_out_stays_out(houses, tmp_path):
    houses.assign(owner=[f"person {i}" for i in range(120)]).to_csv(
        tmp_path / "houses.csv", index=False
    )
    with pytest.raises(ValueError, match=r"drop=\['owner'\]"):
        bn.data.load(tmp_path / "houses.csv", target="dear")
    fitted(tmp_path, "--drop", "owner", "sold")
    post = bn.load(tmp_path / "run")
    assert post.data.encoding.names == ("area", "kind", "garden")
    assert post.data.source.drop == ("owner", "sold")
    again = bn.data.load(**post.data.source.to_dict())
    assert again.train.fingerprint == post.run.fingerprint


def test_medians_are_those_of_the_training_part(houses, tmp_path):
    data = bn.data.load(tmp_path / "houses.csv", target="dear", seed=3)
    stay = data.train.x[:, data.info.feature_names.index("sold")].double().numpy()
    first = pd.to_datetime(houses["sold"])
    days = (first - pd.Timestamp("1970-01-01")).dt.days
    rows = np.isin(days, stay)
    assert rows.sum() == 96
    column = data.info.encoding.columns[0]
    assert column.fill == pytest.approx(houses["area"][rows].median())


def test_truth_as_a_target_has_names(tmp_path):
    lines = ["a,b,ok"] + [f"{i},{i % 5},{'true' if i % 2 else 'false'}" for i in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    data = bn.data.load(tmp_path / "t.csv", target="ok", test=0.0)
    assert data.info.class_names == ("False", "True")
    assert data.train.y[:2].tolist() == [0, 1]
    assert data.info.encoding is None


def test_a_table_in_memory_is_taken_as_its_file_is(houses, tmp_path):
    from_file = bn.data.load(tmp_path / "houses.csv", target="dear", standardise=True)
    x = pd.read_csv(tmp_path / "houses.csv").drop(columns="dear")
    in_memory = bn.data.from_arrays(x, houses["dear"], standardise=True)
    assert torch.equal(in_memory.train.x, from_file.train.x)
    assert torch.equal(in_memory.test.y, from_file.test.y)
    assert in_memory.info.encoding == from_file.info.encoding
    with pytest.raises(ValueError, match="x must name each column once, got area, area"):
        bn.data.from_arrays(x[["area", "area"]], houses["dear"])
