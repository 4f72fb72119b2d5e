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

from bayesnas.cli.main import main

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
PATHS = ["~nobody-here/a", "\0", "", "/dev/zero", "/proc/self/mem/x", "a" * 5000]
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
COMMANDS = {
    "fit": ["gaussian-net", "--data", "digits", "--steps", "1", "--hidden", "4", "--quiet"],
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
}
OPTIONS = {
    "fit": [
        "--steps", "--epochs", "--batch-size", "--lr", "--seed", "--kl-weight", "--kl-warmup",
        "--restarts", "--patience", "--clip", "--schedule", "--device", "--compile", "--hidden",
        "--prior-scale", "--draws", "--data", "--target", "--task", "--test",
        "--validation", "--split-seed", "--checkpoint-every", "--out", "--amortize", "--knots",
        "--likelihood", "--noise-scale", "--config", "--no-such-option",
    ],
    "frontier": ["--draws", "--threshold", "--csv", "--data", "--device", "--separate"],
    "prune": ["--fraction", "--threshold", "--by", "--seed", "--draws", "--save", "--kl-weight",
              "--groups", "--keep-biases"],
    "report": ["--out", "--draws", "--kl-weight", "--data", "--device"],
    "reproduce": ["--seeds", "--out", "--device", "--data"],
    "models": ["--json", "--draws"],
    "compress": ["--tolerance", "--out", "--picture", "--kl-weights", "--hidden", "--validation"],
    "predict": ["--out", "--level", "--draws", "--seed", "--kl-weight", "--device"],
    "evaluate": ["--data", "--draws", "--kl-weight", "--target"],
    "compare": ["--data", "--draws", "--kl-weight", "--loo"],
    "export": ["--format", "--out", "--draws", "--kl-weight"],
    "completion": ["--json"],
}  # fmt: skip
FOLDERS = ("--out", "--save", "--csv")
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


def check(folder, count):
    ends = []
    here = Path.cwd()
    os.chdir(folder)

    @settings(
        max_examples=4 * count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from([*COMMANDS, "fit", "fit", "nonsense"]), st.data())
    def wrong(command, data):
        option = data.draw(st.sampled_from(OPTIONS.get(command, ["--x"])))
        word = data.draw(st.one_of(st.sampled_from(WORDS), st.text(max_size=6)))
        if option in FOLDERS:  # where nearly every word is right
            word = data.draw(st.sampled_from(PATHS))
        if (option, word) in RIGHT or len(ends) >= count:
            return
        words = [command, *COMMANDS.get(command, ["x"]), option, word]
        end = outcome(words)
        for written in list(folder.iterdir()):
            end = f"{end}, wrote {written.name}"
            shutil.rmtree(written) if written.is_dir() else written.unlink()
        ends.append((end, words))

    try:
        wrong()
    finally:
        os.chdir(here)
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


def test_wrong_command_lines(tmp_path):
    check(tmp_path, int(os.environ.get("FUZZ_COMMANDS", "100")))


@pytest.mark.slow
def test_nine_hundred_wrong_command_lines(tmp_path):
    check(tmp_path, 900)
