"""Wrong command lines: an exit status and a line on stderr, no traceback, nothing written."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import shutil
import traceback
from pathlib import Path

import pytest
from fuzz_limits import Hang, limited
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayesnas import reproductions
from bayesnas.cli.main import _parsers, main

MOST_MEMORY = 2 * 2**20  # KiB more than before
NUMBERS = [
    "nan",
    "inf",
    "-1",
    "0",
    "1e400",
    "9" * 400,
    "10**9",
    "",
    "1.5.2",
    "True",
    "99999999999999",
]
PATHS = ["~nobody-here/a", "\0", "", "PIPE", "/proc/self/mem/x", "a" * 5000]
WORDS = [
    *NUMBERS,
    *PATHS,
    "garbage",
    "--",
    "-",
    "λ",
    "digits,digits",
    "0:1",
    "5:1",
    "nan:1",
    "none",
]
SMALL = ["gaussian-net", "--data", "digits", "--steps", "1", "--hidden", "4", "--quiet"]
COMMANDS = {
    "fit": SMALL,
    "frontier": ["run"],
    "prune": ["run"],
    "report": ["run"],
    "reproduce": ["ibp"],
    "models": [],
    "compress": ["run"],
    "predict": ["run", "--data", "new.csv"],
    "evaluate": ["run"],
    "compare": ["run", "other"],
    "export": ["run", "--format", "pt2"],
    "completion": ["fish"],
    "search": ["--vary", "lr=1e-3:0.1:log", "--trials", "1", "--out", "study", "--", *SMALL],
    "sweep": ["--vary", "seed=0,1", "--out", "study", "--", *SMALL],
}
# Of runs that are there: of a table with a column of text, and over a box of metaparameters.
OF_RUNS = {
    "predict table": ["TABLE", "--data", "NEW"],
    "evaluate table": ["TABLE"],
    "export table": ["TABLE", "--format", "code", "--size", "4000"],
    "frontier box": ["BOX", "--metaparameters", "prior_scale=1"],
    "prune box": ["BOX", "--metaparameters", "prior_scale=1", "--kl-weight", "1"],
}


def options_of(command):
    """Every option of a command that takes a word, and one that it has not."""
    _, parsers = _parsers()
    if command not in parsers:
        return ["--x"]
    named = [each for each in parsers[command]._actions if each.option_strings and each.nargs != 0]
    longest = [max(each.option_strings, key=len) for each in named]
    return sorted({*longest, "--no-such-option"} - {"--root"})


FOLDERS = ("--out", "--csv", "--compact", "--encode", "--storage")
REPRODUCTIONS = sorted(reproductions.REPRODUCTIONS)
# What is right after all, or would take the time that it says.
RIGHT = {
    ("--prior-scale", "garbage"),
    *((option, word) for option in ("--clip", "--patience") for word in ("none",)),
    *((option, "0") for option in ("--kl-warmup", "--kl-weight", "--seed", "--split-seed")),
    *((option, "0") for option in ("--draws", "--test", "--validation", "--threshold")),
    *((option, "99999999999999") for option in ("--batch-size", "--seed", "--checkpoint-every")),
    *((option, "99999999999999") for option in ("--kl-weight", "--lr", "--clip", "--patience")),
    *((option, "99999999999999") for option in ("--prior-scale", "--hidden", "--split-seed")),
    ("--hidden", "none"),
    ("--fraction", "0"),
}


def outcome(words):
    """How a command line ended: a status, or what went wrong."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            with limited():
                status = main(words)
        except SystemExit as stop:
            status = stop.code
        except Hang:
            return "hang"
        except BaseException:
            return traceback.format_exc()
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > MOST_MEMORY:
        return "memory"
    return status


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Places of what commands name: two runs and a table of new rows, one of which is unseen."""
    folder = tmp_path_factory.mktemp("runs")
    rows = [f"{i % 7},{'red' if i % 2 else 'blue'},{i % 3}" for i in range(40)]
    (folder / "old.csv").write_text("\n".join(["size,colour,kind", *rows]) + "\n")
    (folder / "new.csv").write_text("size,colour\n3,green\n,red\n")
    net = ["gaussian-net", "--hidden", "4", "--steps", "2", "--quiet"]
    table = ["--data", str(folder / "old.csv"), "--target", "kind"]
    box = [*table, "--kl-weight", "0.1:10", "--metaparameters", "prior_scale=0.1:3"]
    assert main(["fit", *net, *table, "--out", str(folder / "table")]) == 0
    assert main(["fit", *net, *box, "--out", str(folder / "box")]) == 0
    os.mkfifo(folder / "pipe")  # what no file may take the place of
    names = {
        "PIPE": folder / "pipe",
        "TABLE": folder / "table",
        "BOX": folder / "box",
        "NEW": folder / "new.csv",
    }
    return {name: str(path) for name, path in names.items()}


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def line(command, option, word, runs):
    """A command line with one option more, before what is another command's."""
    if command == "reproduce":
        given = [REPRODUCTIONS[len(word) % len(REPRODUCTIONS)]]
    else:
        given = {**COMMANDS, **OF_RUNS}.get(command, ["x"])
    end = given.index("--") if "--" in given else len(given)
    words = [command.partition(" ")[0], *given[:end], option, word, *given[end:]]
    return [runs.get(each, each) for each in words]


def check(folder, runs, count):
    ends, place = [], Path(runs["TABLE"]).parent
    kept = files_of(place)
    here = Path.cwd()
    os.chdir(folder)

    @settings(
        max_examples=4 * count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from([*COMMANDS, *OF_RUNS, "fit", "fit", "nonsense"]), st.data())
    def wrong(command, data):
        option = data.draw(st.sampled_from(options_of(command.partition(" ")[0])))
        word = data.draw(st.one_of(st.sampled_from(WORDS), st.text(max_size=6)))
        if option in FOLDERS:  # where nearly every word is right
            word = data.draw(st.sampled_from(PATHS))
        if (option, word) in RIGHT or len(ends) >= count:
            return
        words = line(command, option, word, runs)
        end = outcome(words)
        for written in list(folder.iterdir()):
            end = f"{end}, wrote {written.name}"
            shutil.rmtree(written) if written.is_dir() else written.unlink()
        for path in [path for path, time in files_of(place).items() if kept.get(path) != time]:
            end = f"{end}, wrote {path.name}"
            path.unlink()
        ends.append((end, words))

    try:
        wrong()
    finally:
        os.chdir(here)
    assert Path(runs["PIPE"]).is_fifo()
    bad = [(end, words) for end, words in ends if end not in (1, 2)]
    text = "\n".join(f"{' '.join(words)[:150]!r}: {end}" for end, words in bad)
    if report := os.environ.get("FUZZ_REPORT"):
        Path(report).write_text(f"{len(ends)} lines, {len(bad)} bad\n{text}")
    broken = [end for end, _ in bad if end != 0]
    assert not broken, text
    assert len(bad) <= 0.01 * count, text


@pytest.mark.parametrize("option", ["--root", "--out"])
def test_a_home_of_nobody(option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert outcome(["fit", *COMMANDS["fit"], option, "~nobody-here/a"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_wrong_command_lines(tmp_path, runs):
    check(tmp_path, runs, int(os.environ.get("FUZZ_COMMANDS", "100")))


@pytest.mark.slow
def test_nine_hundred_wrong_command_lines(tmp_path, runs):
    check(tmp_path, runs, 900)
