"""A process that is told to end while it does what no signal interrupts."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import os, signal, time
from bayesnas.runtime.processes.watch import EndWatch
signal.signal(signal.SIGTERM, lambda *_: None)
with EndWatch({seconds}, lambda: "it ends"):
    os.kill(os.getpid(), {signum})
    time.sleep({sleep})  # which goes on after a signal
print("over")
"""


@pytest.mark.parametrize(
    ("signum", "seconds", "sleep", "expected"),
    [
        ("signal.SIGTERM", 0.05, 60, (1, "", "it ends\n")),
        ("signal.SIGTERM", 60, 0.05, (0, "over\n", "")),
        ("signal.SIGCHLD", 0.0, 0.05, (0, "over\n", "")),
    ],
)
def test_ends_after_some_seconds(signum, seconds, sleep, expected):
    code = CODE.format(signum=signum, seconds=seconds, sleep=sleep)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert (ended.returncode, ended.stdout, ended.stderr) == expected
