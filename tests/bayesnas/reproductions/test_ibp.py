"""The reproduction of the Indian buffets, with few draws."""

from __future__ import annotations

import pytest
from PIL import Image

from bayesnas.reproductions import REPRODUCTIONS, Request, ibp


def test_one_command_writes_the_figure_and_the_table(call_json, tmp_path):
    output = call_json("reproduce", "ibp", "--quick", "--out", tmp_path / "ibp")
    assert output["settings"] == {"draws": 10_000, "starts": 1, "customers": 10, "width": 10}
    with Image.open(tmp_path / "ibp" / "cascade.png") as picture:
        assert picture.size[0] > 1000
    table = (tmp_path / "ibp" / "comparison.md").read_text()
    assert "mean width" in table
    rows = {(row["α, β"], row["quantity"], row["of"]): row for row in output["comparisons"]}
    assert len(rows) == 5 * (3 + 7)
    first = rows["1, 1", "mean width", "layer 1"]
    assert first["published"] == pytest.approx(2.9290, abs=5e-5)
    assert first["ours"] == pytest.approx(2.9290, abs=5.5 * (2.929 / 10_000) ** 0.5)
    depth = rows["1, 1", "mean depth", "hidden layers"]
    assert depth["ours"] == pytest.approx(depth["published"], rel=0.05)


def test_starts_differ(monkeypatch, tmp_path):
    monkeypatch.setattr(ibp, "QUICK_DRAWS", 200)
    reproduced = REPRODUCTIONS["ibp"].run(Request(tmp_path, quick=True, seeds=2))
    assert len({*reproduced.comparisons[0].ours}) == 2
    with pytest.raises(ValueError, match="starts=2"):
        ibp.run(Request(tmp_path, quick=True))
