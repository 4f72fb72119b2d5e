"""Fixtures that every folder of tests shares.

A test that holds an estimate from draws to its exact value allows 5.5 standard errors: a number is
further off with a probability of 4e-8, so with 25 of them the test fails once in a million seeds.
Where the standard error itself comes from few numbers it allows more, by Student's distribution.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pytest
import torch

import bayesnas as bn
from bayesnas.inference.steps.minibatches import Batches
from bayesnas.inference.steps.streamed_batches import StreamedBatches
from bayesnas.runtime.random_state import RandomStream

SHORT = {"steps": 6, "batch_size": 8}
SCRIPT = Path(__file__).parent / "scenarios" / "killable_fits.py"
# One thread, and no GPU: a process whose autograd has threads can't be forked.
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed-shift",
        type=int,
        default=0,
        metavar="N",
        help=(
            "add 1000 N to every seed: of fits, predictions and samplers, of each test's own "
            "random numbers, of documentation pages and docstrings. What passes for one N has to "
            "pass for all. Data from a torch.Generator of a test's own, a saved seed and processes "
            "that a test starts stay as they are"
        ),
    )


def pytest_configure() -> None:
    """Ctrl-C is heard, as in a terminal: a command in the background of a script ignores it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """``slow_except`` of a parametrised test: every case but those named is slow."""
    cases: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for item in items:
        named = item.get_closest_marker("slow_except")
        if named is None:
            continue
        assert isinstance(item, pytest.Function)
        case = item.callspec.id
        function = item.nodeid.removesuffix(f"[{case}]")
        cases.setdefault((function, named.args), set()).add(case)
        if case not in named.args:
            item.add_marker(pytest.mark.slow)
    for (function, names), ids in cases.items():
        if len(ids) > 1 and not ids.issuperset(names):
            raise pytest.UsageError(f"{function}: slow_except names {names}, cases are {ids}")


def _shifted(function: Callable[..., Any], position: int, shift: int) -> Callable[..., Any]:
    """The function with the seed at a position of its arguments shifted, where one is given."""

    def call(*arguments: Any, **options: Any) -> Any:
        given = list(arguments)
        if "seed" in options:
            options["seed"] += shift
        elif len(given) > position:
            seed = given[position]
            if isinstance(seed, list):  # a seed and what tells its streams apart
                given[position] = [seed[0] + shift, *seed[1:]]
            elif isinstance(seed, int):
                given[position] = seed + shift
        return function(*given, **options)

    return call


@pytest.fixture(autouse=True, scope="session")
def seeds_shifted(request: pytest.FixtureRequest) -> Iterator[None]:
    """All that turns a seed into random numbers sees another one under ``--seed-shift``."""
    shift = 1000 * request.config.getoption("--seed-shift")
    with pytest.MonkeyPatch.context() as patch:
        if shift:
            for owner, name, position in (
                (RandomStream, "__init__", 1),
                (Batches, "__init__", 4),
                (StreamedBatches, "__init__", 3),
                (torch, "manual_seed", 0),
                (np.random, "default_rng", 0),
            ):
                patch.setattr(owner, name, _shifted(getattr(owner, name), position, shift))
        yield


@pytest.fixture(autouse=True)
def fresh_start():
    """The same random numbers and an empty parameter store, whatever test ran before."""
    pyro.set_rng_seed(0)
    pyro.clear_param_store()


@pytest.fixture
def mnist_root() -> Path:
    return _shared_root("MNIST")


@pytest.fixture
def fashion_mnist_root() -> Path:
    return _shared_root("FashionMNIST")


def _shared_root(folder: str) -> Path:
    root = os.environ.get("BAYESNAS_DATA")
    if not root:
        pytest.skip("BAYESNAS_DATA is not set")
    if not (Path(root) / folder / "raw").is_dir():
        pytest.skip(f"BAYESNAS_DATA has no {folder}/raw")
    return Path(root)


class FitProcesses:
    """Runs the fits of ``killable_fits.py``, each in a process forked for it."""

    def __init__(self, log: Path) -> None:
        self.log = log
        with log.open("w") as errors:
            self._server = subprocess.Popen(
                [sys.executable, str(SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=ENVIRONMENT,
            )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == "ready\n", log.read_text()

    def __call__(self, fit: str, out: Path, kill: dict[str, Any] | None = None) -> dict[str, Any]:
        """How the process ended: its exit status (negative: signal), and after how many seconds."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        order = {"fit": fit, "out": str(out), "kill": kill}
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer

    def finish(self, fit: str, out: Path) -> bytes:
        """Fit, or go on with a fit, to the end; the bytes of the result."""
        answer = self(fit, out)
        assert answer["status"] == 0, self.log.read_text()
        return (out / "posterior.safetensors").read_bytes()

    def close(self) -> None:
        self._server.communicate()  # no more orders: it ends


@pytest.fixture(scope="session")
def fit_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FitProcesses]:
    processes = FitProcesses(tmp_path_factory.mktemp("fits") / "log")
    yield processes
    processes.close()


@pytest.fixture
def xy() -> tuple[torch.Tensor, torch.Tensor]:
    """27 rows of 4 features in 3 classes that a linear net can tell apart."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(27, 4, generator=generator)
    return x, x[:, :3].argmax(1)


@pytest.fixture
def net() -> bn.models.GaussianNet:
    return bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale=0.5)


def _numbers(post: bn.Posterior) -> dict[str, bytes]:
    values = {}
    for chain, record in enumerate(post.records()):
        values[f"{chain} nll"] = repr(record.validation_nll).encode()
        for name, value in {**record.fitted, "history": record.history}.items():
            values[f"{chain} {name}"] = value.contiguous().numpy().tobytes()
    return values


@pytest.fixture
def numbers() -> Any:
    """Function from a posterior to the bytes of all its parameters, buffers and histories."""
    return _numbers


@pytest.fixture
def folders(net, xy, tmp_path):
    """A folder that is not there, one that is empty, one with a user's file, one with a run."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    bn.fit(net, xy, out=tmp_path / "run", **SHORT)
    return [tmp_path / name for name in ("new", "empty", "mine", "run")]


@pytest.fixture
def snapshot(tmp_path):
    """Function that gives all files of the test and their bytes."""

    def take():
        return {
            path.relative_to(tmp_path): path.read_bytes() if path.is_file() else None
            for path in tmp_path.rglob("*")
        }

    return take


@pytest.fixture
def refused(net, xy, folders, snapshot, monkeypatch):
    """Calls fit with every output folder; it has to raise, train nothing and write nothing."""

    def forbid(*arguments, **options):
        raise AssertionError("a step was taken")

    def check(error, message, model=net, data=xy, **options):
        options = SHORT | options
        before = snapshot()
        with monkeypatch.context() as patched:
            patched.setattr(bn.inference.training.chains.trainer.ChainTrainer, "advance", forbid)
            for out in (None, *folders[:3]):
                with pytest.raises(error, match=message):
                    bn.fit(model, data, **options, **({} if out is None else {"out": out}))
                assert snapshot() == before
            with pytest.raises((error, FileExistsError)):  # whichever is seen first
                bn.fit(model, data, out=folders[3], **options)
            with pytest.raises(error):
                bn.fit(model, data, out=folders[3], resume=True, **options)
            assert snapshot() == before

    return check


@pytest.fixture
def edit():
    """Function that changes what the ``run.json`` of a run says."""

    def edit_description(run, change):
        content = json.loads((run / "run.json").read_text())
        change(content)
        (run / "run.json").write_text(json.dumps(content))

    return edit_description
