"""``bayesnas report --html``."""

from __future__ import annotations

import html
import re
import shlex

import pytest

import bayesnas as bn
from bayesnas.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run; the pages in its folder may come and go."""
    folder = tmp_path_factory.mktemp("the runs") / "a"
    words = ["--data", "diabetes", "--standardise", "--steps", "60", "--lr", "0.03"]
    assert main(["fit", "ard-regression", *words, "--out", str(folder), "--quiet"]) == 0
    return folder


def command_of(path):
    text = re.search(r'id="command">(.*?)</code>', path.read_text(encoding="utf-8"))[1]
    return shlex.split(html.unescape(text))


def test_the_command_on_the_page_makes_the_same_page(call_json, call, run):
    output = call_json("report", run, "--html", "--draws", 2)
    path = run / "report.html"
    assert output["page"] == str(path)
    data = bn.data.load("diabetes", standardise=True)
    assert output["metrics"]["test"] == bn.load(run).evaluate(data.test, draws=2)
    before = path.read_bytes()
    program, *words = command_of(path)
    assert program == "bayesnas"
    path.unlink()
    code, out, err = call(*words)
    assert code == 0, err
    assert path.read_bytes() == before
    assert out.rstrip().endswith(f"page: {path}")
    for warning in output["warnings"]:
        assert f"warning: {warning['name']}" in out


def test_options_that_were_given_stand_in_the_command(call, run, tmp_path):
    path = tmp_path / "a page.html"
    data = ["--data", "diabetes", "--standardise", "--kl-weight", "1"]
    code, _, err = call("report", run, "--html", "--out", path, "--draws", 2, *data)
    assert code == 0, err
    words = command_of(path)
    assert words[:6] == ["bayesnas", "report", str(run), "--html", "--out", str(path)]
    assert words[6:] == ["--draws", "2", "--kl-weight", "1.0", *data[:3]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "page.png"], "must end in .html"),
        (["--out", "absent/page.html"], "there is no folder"),
        (["--kl-weight", "2"], "kl_weight must be 1"),
    ],
)
def test_what_does_not_fit_is_refused(call, run, words, message):
    code, _, err = call("report", run, "--html", *words)
    assert code == 2
    assert message in err.replace("--kl-weight", "kl_weight").replace("\n", " ")
