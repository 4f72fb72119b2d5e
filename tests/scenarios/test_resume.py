"""A fit that is killed goes on to exactly the numbers of one that is not."""

from __future__ import annotations

import functools
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bayesnas as bn
from bayesnas.inference.steps import traced_step

KILLED, DONE = -9, 0
FITS = ("plain", "restarts", "regression", "pair", "traced", "amortized", "batched", "augmented")
SCRIPT = Path(__file__).with_name("killable_fits.py")


@pytest.fixture(scope="module")
def unbroken(fit_processes, tmp_path_factory):
    """Result of every fit that nothing disturbs, and how many seconds it took."""
    folder = tmp_path_factory.mktemp("unbroken")

    def run(name: str) -> tuple[bytes, float]:
        answer = fit_processes(name, folder / name)
        assert answer["status"] == DONE, fit_processes.log.read_text()
        return (folder / name / "posterior.safetensors").read_bytes(), answer["seconds"]

    return functools.cache(run)


@pytest.mark.slow_except("plain", "regression", "pair", "augmented")
@pytest.mark.parametrize("name", [*FITS, pytest.param("compiled", marks=pytest.mark.slow)])
def test_killed_at_a_step(fit_processes, unbroken, tmp_path, name):
    out = tmp_path / "a"
    assert [fit_processes(name, out, {"step": n})["status"] for n in (1, 9, 4)] == [KILLED] * 3
    assert fit_processes.finish(name, out) == unbroken(name)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stride"),
    [
        ("plain", 1),
        ("restarts", 4),
        *(pytest.param(name, 1, marks=pytest.mark.slow) for name in FITS[1:4]),
    ],
)
def test_killed_at_what_is_done_to_a_file(fit_processes, unbroken, tmp_path, name, stride):
    """Half-written files, the moments around every replacement, the last save, the clean-up."""
    left_behind = []
    for event in range(1, 200, stride):
        out = tmp_path / str(event)
        if fit_processes(name, out, {"files": event})["status"] == DONE:
            break
        left_behind.append(_files_in(out))
        assert fit_processes.finish(name, out) == unbroken(name)[0], (
            f"event {event}: {left_behind[-1]}"
        )
        assert sorted(path.name for path in out.iterdir()) == ["posterior.safetensors", "run.json"]
    else:
        pytest.fail("the fit never ended")
    if stride > 1:
        return
    # What the kills left behind: that they hit where they were meant to.
    assert set() in left_behind
    for left in (
        {".run.json.partial"},
        {"run.json", ".checkpoint.safetensors.partial"},
        {"run.json", "checkpoint.safetensors", ".checkpoint.safetensors.partial"},
        {"run.json", "checkpoint.safetensors", ".posterior.safetensors.partial"},
        {"run.json", "checkpoint.safetensors", "posterior.safetensors", ".run.json.partial"},
        {"run.json", "checkpoint.safetensors", "posterior.safetensors", "finished"},
    ):
        assert left in left_behind


def _files_in(out: Path) -> set[str]:
    names = {path.name for path in out.iterdir()} if out.exists() else set()
    if "run.json" in names and json.loads((out / "run.json").read_text())["status"] == "finished":
        names.add("finished")
    return names


def test_killed_again_and_again(fit_processes, unbroken, tmp_path):
    out = tmp_path / "a"
    for number in (8, 7, 6, 5, 5):  # every time a checkpoint further, at least
        assert fit_processes("restarts", out, {"step": number})["status"] == KILLED
    assert fit_processes.finish("restarts", out) == unbroken("restarts")[0]


def test_killed_by_the_clock(fit_processes, unbroken, tmp_path):
    result, seconds = unbroken("restarts")
    times = random.Random(0)
    for attempt in range(3):
        out = tmp_path / str(attempt)
        fit_processes("restarts", out, {"seconds": times.uniform(0, seconds)})
        assert fit_processes.finish("restarts", out) == result


@pytest.mark.parametrize("tolerances", [(1e-4, -1.0), (-1.0, 1e-4)])
def test_steps_are_recorded_or_not_as_before(net, xy, tmp_path, monkeypatch, caplog, tolerances):
    """What the comparison with an eager step came to at the start holds to the end."""

    def stop(event):
        if event.step == 8:  # both shapes of batch have been seen
            raise InterruptedError

    options = {"steps": 12, "batch_size": 8, "compile": "trace", "out": tmp_path / "run"}
    monkeypatch.setattr(traced_step, "TOLERANCE", tolerances[0])
    with pytest.raises(InterruptedError):
        bn.fit(net, xy, on_step=stop, checkpoint_every=4, **options)
    assert ("in eager mode" in caplog.text) == (tolerances[0] < 0)
    caplog.clear()
    monkeypatch.setattr(traced_step, "TOLERANCE", tolerances[1])
    bn.fit(net, xy, resume=True, **options)
    assert caplog.text == ""


@pytest.mark.slow
def test_killed_at_20_random_instants_of_a_life(fit_processes, tmp_path):
    """The whole life of a process: interpreter, imports, training, checkpoints, final save."""
    order = json.dumps({"fit": "long", "out": str(tmp_path / "unbroken")})
    begin = fit_processes.finish("long", tmp_path / "forked")
    whole = _seconds(order)
    result = (tmp_path / "unbroken" / "posterior.safetensors").read_bytes()
    assert result == begin
    fit = fit_processes("long", tmp_path / "again")["seconds"]
    times = random.Random(20)
    killed, with_checkpoint = 0, 0
    for attempt in range(60):
        if killed == 20:
            break
        # A fifth of the kills in the start-up, which is most of the life, the others in the fit.
        start_up = max(whole - fit, 0.0)
        span = (0, start_up) if attempt % 5 == 0 else (start_up, whole)
        instant = times.uniform(*span)
        out = tmp_path / str(attempt)
        order = json.dumps({"fit": "long", "out": str(out)})
        began = time.monotonic()
        if _killed_after(instant, order):
            killed += 1
        else:  # it ended before: the life that was measured first was a slow one
            whole = min(whole, time.monotonic() - began)
        with_checkpoint += (out / "checkpoint.safetensors").exists()
        assert fit_processes.finish("long", out) == result, f"killed after {instant} s"
    summary = f"{killed} fits killed, {with_checkpoint} of them with a checkpoint"
    sys.stdout.write(f"{summary}\n")
    assert killed == 20, summary
    # How many were far enough for one depends on the load of the machine.
    assert with_checkpoint >= 1, summary


def _seconds(order: str) -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, str(SCRIPT), "--now", order], check=True)
    return time.monotonic() - began


def _killed_after(seconds: float, order: str) -> bool:
    process = subprocess.Popen([sys.executable, str(SCRIPT), "--now", order])
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    return process.wait() == KILLED
