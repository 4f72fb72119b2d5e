"""Fits by several processes, of two real ones on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bayesnas.inference.runs.checkpoint import read_checkpoint

SCRIPT = Path(__file__).with_name("shared_fits.py")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
SHARED = ("dropout", "weights", "amortized", "stream", "iterable", "shaken")


def together(folder, *words):
    """What each of two processes got from fits, by word; the script says what the words mean."""
    command = [sys.executable, str(SCRIPT), str(folder), "2", *words]
    ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return {
        word: [torch.load(folder / f"{word} {rank}.pt", weights_only=False) for rank in range(2)]
        for word in words
    }


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    words = "plain", "plain:alone", "chains:spread", "chains:alone", "dropout:independent"
    return together(tmp_path_factory.mktemp("quick"), *words)


@pytest.fixture(scope="module")
def thorough(tmp_path_factory):
    words = [*SHARED, "normalised", *(f"{name}:alone" for name in (*SHARED, "normalised", "plain"))]
    words += ["plain:independent", "amortized:independent", "other data", "shaken:independent"]
    return together(tmp_path_factory.mktemp("thorough"), *words)


def assert_close(results, expected, tolerance=1e-5):
    """All processes got the same: parameters, buffers and history, relative in norm, as expected.

    Args:
        results: of every process.
        expected: of the first process by itself.
        tolerance: against what is expected.
    """
    assert_alike(results)
    for (fitted, history, nll), (alone, rows, measured) in zip(
        results[0], expected[0], strict=True
    ):
        assert history.shape == rows.shape
        for name, value in fitted.items():
            there = alone[name].double()
            assert (value.double() - there).norm() <= tolerance * max(float(there.norm()), 1e-6)
        assert torch.allclose(history, rows, rtol=tolerance)
        assert nll == pytest.approx(measured, rel=1e-4)


def assert_alike(results):
    """All processes got exactly the same."""
    first, *others = results
    for other in others:
        for (fitted, history, nll), (same, as_long, as_good) in zip(first, other, strict=True):
            assert all(torch.equal(value, same[name]) for name, value in fitted.items())
            assert torch.equal(history, as_long)
            assert nll == as_good


def test_shared_noise_gives_the_numbers_of_one_process(quick):
    """200 traced steps on 101 rows by 40: 20 and 20, 20 and 20, 10 and 11 rows."""
    assert len(quick["plain"][0][0][1]) == 200
    assert_close(quick["plain"], quick["plain:alone"])


def test_chains_of_several_processes_are_those_of_one(quick):
    """Three restarts of two processes, which stop early at steps of their own."""
    assert_close(quick["chains:spread"], quick["chains:alone"], tolerance=0.0)
    assert len({len(history) for _, history, _ in quick["chains:spread"][0]}) > 1


def test_processes_with_noise_of_their_own_stay_alike(quick):
    assert_alike(quick["dropout:independent"])


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARED)
def test_shared_noise_of_every_kind(thorough, name):
    """Dropout and clipping, weights of rows and early stopping, λ, rows of a stream."""
    assert_close(thorough[name], thorough[f"{name}:alone"], tolerance=2e-5)


@pytest.mark.slow
def test_running_statistics_are_averaged(thorough):
    """A normalisation sees the rows of its process; all end with the mean of what they saw."""
    assert_alike(thorough["normalised"])
    [(fitted, _, _)], [(alone, _, _)] = thorough["normalised"][0], thorough["normalised:alone"][0]
    [name] = [name for name in fitted if name.endswith("running_mean")]
    # The batches are the same, and so are their means until the weights have moved apart.
    assert torch.allclose(fitted[name], alone[name], atol=0.1)


@pytest.mark.slow
def test_independent_noise_reaches_the_same_bound(thorough):
    assert_alike(thorough["amortized:independent"])
    assert_alike(thorough["plain:independent"])
    (_, history, _), (_, alone, _) = (
        thorough["plain:independent"][0][0],
        thorough["plain:alone"][0][0],
    )
    ours, theirs = (rows[-40:, 0].double() for rows in (history, alone))
    error = float((ours.var() / 40 + theirs.var() / 40).sqrt())
    assert float(ours.mean()) == pytest.approx(float(theirs.mean()), abs=8 * error, rel=0.05)
    assert not torch.equal(history, alone)


@pytest.mark.slow
def test_processes_with_other_data_are_refused_by_all(thorough):
    for said in thorough["other data"]:
        assert said.startswith("ValueError: distributed: process 1 was given another fit")


@pytest.mark.slow
def test_an_optimizer_that_draws_needs_shared_noise(thorough):
    for said in thorough["shaken:independent"]:
        assert said.startswith("ValueError: distributed: the parameters of the processes have come")


@pytest.mark.slow
def test_resumed_by_another_number_of_processes(tmp_path):
    """From two to one and from one to two, after Ctrl-C; the numbers are those of one process."""
    from_two = "resumed:stop:out=a", "resumed:alone:out=a"
    from_one = "resumed:alone:stop:out=b", "resumed:out=b"
    results = together(tmp_path, "resumed:alone", *from_two, *from_one)
    first, second = results[from_two[0]]
    assert first.startswith("KeyboardInterrupt: stopped at step 25 of 60 of chain 0; resume=True")
    assert second == "SystemExit: 130"  # one process speaks for both
    assert results[from_one[0]][0].startswith("KeyboardInterrupt: stopped at step 25")
    whole = results["resumed:alone"]
    assert_close(results[from_two[1]][:1], whole)
    assert_close(results[from_one[1]], whole)


@pytest.mark.slow
def test_independent_noise_resumes_exactly(tmp_path):
    """The random states of both processes are in the checkpoint."""
    words = "resumed:independent", "resumed:independent:stop:out=a", "resumed:independent:out=a"
    whole, _, again = together(tmp_path, *words).values()
    assert_alike([*whole, *again])


@pytest.mark.slow
def test_a_killed_process_ends_the_other_with_one_message(tmp_path):
    """At ten random instants of one fit: steps, sums, checkpoints half written."""
    command = [sys.executable, str(SCRIPT), str(tmp_path), "kills", "10"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    stories = json.loads((tmp_path / "kills.json").read_text())
    for story in stories:
        assert (story["killed"], story["other"]) == (-signal.SIGKILL, 1)
        assert story["seconds"] < 60
        assert story["said"].count("Traceback") == 1, story["said"]
        last = story["said"].splitlines()[-1]
        assert "ProcessLostError: a process of the fit ended after step" in last
        assert last.endswith(f"resume=True goes on from {tmp_path / 'run'}")
    steps = [story["step"] for story in stories]  # the checkpoint after every kill was read
    assert steps == sorted(steps)
    assert steps[0] >= 2


def processes_of(launcher):
    """Process ids by rank."""
    by_process = {}
    for folder in Path("/proc").iterdir():
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            words = (folder / "environ").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            continue
        ranks = [word for word in words if word.startswith(b"LOCAL_RANK=")]
        if parent == launcher.pid and ranks:
            by_process[int(ranks[0].partition(b"=")[2])] = int(folder.name)
    return by_process


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("how", ["kill", "Ctrl-C"])
def test_under_torchrun(tmp_path, how):
    """The command line: one message of the fit, whatever torchrun adds, and a good checkpoint."""
    out = tmp_path / "run"
    words = ["fit", "gaussian-net", "--hidden", "10", "--compile", "off", "--out", str(out)]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launcher = subprocess.Popen(
        [*command, "-m", "bayesnas", *words, "--steps", "1000000", "--checkpoint-every", "5"],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (out / "checkpoint.safetensors").exists():
        assert launcher.poll() is None, launcher.communicate()[1]
        time.sleep(0.05)
    if how == "kill":
        os.kill(processes_of(launcher)[1], signal.SIGKILL)
    else:
        launcher.send_signal(signal.SIGINT)
    _, errors = launcher.communicate(timeout=120)
    said = [line for line in errors.splitlines() if line.startswith(("bayesnas: ", "go on with"))]
    if how == "kill":
        [line] = said
        assert line.startswith("bayesnas: error: a process of the fit ended after step ")
        assert line.endswith(f"--resume goes on from {out}")
    else:
        stopped, again = said
        assert stopped.startswith("bayesnas: stopped at step ")
        assert again.startswith("go on with: torchrun --nproc-per-node 2 -m -- bayesnas fit")
    assert "ProcessLostError" not in errors  # no traceback of a process of the fit
    [(_, values)] = read_checkpoint(out)[1]
    assert values["step"] >= 5
