"""Workers of a search that are killed in the middle of a trial: every trial ends once."""

from __future__ import annotations

import functools
import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from killable_searches import SPACE, SWEEP, Killing, kill, raising, small_fit

import bayesnas as bn
from bayesnas.inference.search import Categorical, Integer, SearchSpace

SERIAL = """
    result = bn.search(module.{space}, module.small_fit, "grid", objectives="nll")
    print(json.dumps([[t.candidate, t.scores] for t in result.trials]))
"""
UNTIL_KILLED = """
    judge = module.Killing(Path({folder!r}), {fatal!r}, after=True)
    options = {{"objectives": "nll", "storage": {storage!r}, "resume": True}}
    bn.search(module.SPACE, judge, "grid", **options)
"""


def in_a_process(code):
    """Run code as another process, whose seeds are those that are written."""
    head = f"""
    import json, sys
    from pathlib import Path
    sys.path.insert(0, {str(Path(__file__).parent)!r})
    import bayesnas as bn
    import killable_searches as module
    """
    command = [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code)]
    return subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)


@functools.cache
def serial(space):
    return json.loads(in_a_process(SERIAL.format(space=space)).stdout)


def check(result, name, killed):
    space = {"SPACE": SPACE, "SWEEP": SWEEP}[name]
    assert [t.state for t in result.trials] == ["complete"] * space.size
    assert [[t.candidate, t.scores] for t in result.trials] == serial(name)
    assert sum(t.attempts - 1 for t in result.trials) == killed
    states = [t.state.name for t in result.study.trials]
    assert states.count("COMPLETE") == space.size
    assert states.count("FAIL") == killed
    assert len(states) == space.size + killed


def test_a_process_that_is_killed_is_gone_on_with_by_another(tmp_path):
    storage = tmp_path / "study.journal"
    code = UNTIL_KILLED.format(folder=str(tmp_path), fatal=((2, 0.1),), storage=str(storage))
    assert in_a_process(code).returncode == -signal.SIGKILL
    assert in_a_process(code).returncode == 0
    result = bn.search(SPACE, small_fit, "grid", objectives="nll", storage=storage, resume=True)
    check(result, "SPACE", killed=1)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".db", ".journal"])
def test_four_workers_of_which_three_are_killed(suffix, tmp_path):
    """64 fits; a kill is at a candidate, whichever worker comes to it, before or after its fit."""
    killing = Killing(tmp_path, ((1, 0.3), (7, 3.0), (12, 0.1)), after=suffix == ".db")
    storage = tmp_path / f"study{suffix}"
    result = bn.search(SWEEP, killing, "grid", objectives="nll", storage=storage, workers=4)
    check(result, "SWEEP", killed=3)
    assert len({t.worker for t in result.trials}) > 1


@pytest.mark.slow
def test_a_candidate_that_kills_every_worker_is_given_up(tmp_path):
    space = SearchSpace({"seed": Integer(0, 1), "kl_weight": Categorical((1.0,))})
    storage = tmp_path / "study.journal"
    result = bn.search(space, kill, "grid", storage=storage, workers=2)
    assert [t.state for t in result.trials] == ["failed", "complete"]
    assert result.trials[0].attempts == 4


@pytest.mark.slow
def test_an_error_of_a_worker_is_raised_here_with_its_candidate(tmp_path):
    storage = tmp_path / "study.journal"
    with pytest.raises(RuntimeError, match=r"trial .*'seed': 1.*KeyError: 'no such thing'"):
        bn.search(SPACE, raising, "grid", storage=storage, workers=2)


def test_what_cannot_be_sent_to_a_worker_is_refused(tmp_path):
    storage = tmp_path / "study.journal"
    with pytest.raises(TypeError, match="objective must be importable and picklable"):
        bn.search(SPACE, lambda c: 1.0, "grid", storage=storage, workers=2)
