"""Options from a TOML file beneath those of the command line."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesnas.cli.arguments.config import config_text
from bayesnas.cli.arguments.values import KLRange
from bayesnas.cli.main import build_parser, read_words

CONFIG = """
model = "spike-and-slab-net"
hidden = [30, 20]
kl-weight = "0.1:10"
epochs = 7
standardise = true
batch_size = 64
prior-scale = "learned"
"""


@pytest.fixture
def config(tmp_path):
    def write(text):
        (tmp_path / "run.toml").write_text(text, encoding="utf-8")
        return str(tmp_path / "run.toml")

    return write


def options(args):
    return {key: value for key, value in vars(args).items() if key not in ("config", "config_text")}


def test_a_file_says_what_words_would(config):
    path = config(CONFIG.replace("prior-scale", "slab-scale"))
    from_file = read_words(["fit", "--config", path])
    words = "spike-and-slab-net --hidden 30 20 --kl-weight 0.1:10 --epochs 7 --standardise"
    expected = read_words(["fit", *words.split(), "--batch-size", "64", "--slab-scale", "learned"])
    assert from_file.kl_weight == KLRange(0.1, 10)
    assert from_file.hidden == [[30], [20]]
    for args in (from_file, expected):
        del args.check  # a partial of the parser, which is made anew
    assert options(from_file) == options(expected)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["gaussian-net"], "model", "gaussian-net"),
        (["--kl-weight", "3"], "kl_weight", 3.0),
        (["--kl-weight=.1,3"], "kl_weight", [0.1, 3.0]),
        (["--hidden", "none"], "hidden", [[]]),
        (["--steps", "5"], "epochs", None),  # the two exclude each other
        (["--steps", "5"], "steps", 5),
        (["--lr", "0.1"], "batch_size", 64),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_the_command_line_wins(config, words, name, value, first):
    path = config("\n".join(line for line in CONFIG.splitlines() if "prior" not in line))
    given_config = ["--config", path]
    words = [*given_config, *words] if first else [*words, *given_config]
    assert getattr(read_words(["fit", *words]), name) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = ", "must be TOML"),
        ("\x00", "must be TOML"),
        ("learning-rate = 1", "'learning-rate', which is no option of a fit"),
        ("epoch = 1", "did you mean 'epochs'"),
        ("config = 'a.toml'", "'config', which is no option"),
        ("standardise = 'yes'", "must give standardise true or false"),
        ("lr = true", "must give lr a number"),
        ("lr = {a = 1}", "must give lr a number"),
        ("hidden = []", "must give hidden a number"),
        ("lr = 1979-05-27", "must give lr a number"),
        ("model = 'gaussian-net'\nprior = 'horseshoe'", "gaussian-net does not take --prior"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(config, text, message):
    with pytest.raises(ValueError, match=message):
        read_words(["fit", "--config", config(text)])


def test_a_value_of_the_wrong_kind_is_answered_as_on_the_command_line(config, capsys):
    with pytest.raises(SystemExit):
        read_words(["fit", "gaussian-net", "--config", config("epochs = 'many'")])
    assert "argument --epochs: invalid int value: 'many'" in capsys.readouterr().err


def test_a_file_that_is_not_there(call, tmp_path):
    code, _, err = call("fit", "--config", tmp_path / "absent.toml")
    assert code == 2
    assert "absent.toml" in err


FIT = build_parser()._subparsers._group_actions[0].choices["fit"]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.floats())
def test_what_is_written_is_read_again(text, number):
    words = [f"--target={text}", f"--root={number!r}", "--hidden", "none", "7", "--standardise"]
    content = tomllib.loads(config_text(FIT, words))
    assert content.pop("hidden") == ["none", 7]
    assert content.pop("standardise") is True
    assert str(content["target"]) == text or float(content["target"]) == float(text)
    assert float(content["root"]) == number or number != number
    assert content.keys() == {"target", "root"}


def test_a_run_is_made_again_by_the_file_in_its_folder(call_json, tmp_path):
    words = ["gaussian-net", "--hidden", "8", "--steps", 5, "--kl-weight", "0.1,1", "--draws", 2]
    first = call_json("fit", *words, "--out", tmp_path / "a")
    second = call_json("fit", "--config", tmp_path / "a" / "run.toml", "--out", tmp_path / "b")
    assert [row["kl_weight"] for row in first["frontier"]] == [0.1, 1.0]
    assert second["frontier"] == first["frontier"]
    resumed = call_json("fit", "--config", tmp_path / "a" / "run.toml", "--resume")
    assert resumed["frontier"] == first["frontier"]
