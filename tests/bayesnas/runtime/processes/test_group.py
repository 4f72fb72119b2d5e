"""A group of one process, and of two threads that stand for processes."""

from __future__ import annotations

import threading

import pytest
import torch
import torch.distributed as dist

from bayesnas.runtime.processes.group import ALONE, Processes
from bayesnas.runtime.processes.lost import ProcessLostError, Speaker
from bayesnas.runtime.processes.opening import open_processes
from bayesnas.runtime.processes.share import Share


def never(lost, processes):
    return lost


@pytest.fixture
def group(tmp_path):
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield store
    dist.destroy_process_group()


def test_a_group_of_the_callers_is_used_and_stays_open(group):
    with open_processes(torch.device("cpu"), 10.0, never, alone=False) as processes:
        assert (processes.together, processes.rank, processes.size) == (True, 0, 1)
        tensor = torch.tensor([1.5, 2.5])
        processes.add(tensor)
        processes.average(tensor)
        assert tensor.tolist() == [1.5, 2.5]
        assert processes.agree(a=3, b=0) == {"a": 3, "b": 0}
        assert processes.gathered("x") == ["x"]
        assert processes.of_first(lambda: torch.ones(2)).tolist() == [1.0, 1.0]
        with pytest.raises(FileExistsError, match="there"):
            processes.of_first(lambda: (_ for _ in ()).throw(FileExistsError("there")))
        with open_processes(torch.device("cpu"), 10.0, never, alone=False) as inner:
            assert not inner.together  # a fit inside a fit
    assert dist.is_initialized()


def test_a_process_by_itself_needs_no_group():
    with open_processes(torch.device("cpu"), 10.0, never, alone=False) as processes:
        assert processes is ALONE
    assert ALONE.agree(a=1) == {"a": 1}
    assert ALONE.gathered(2) == [2]
    tensor = torch.ones(1)
    ALONE.add(tensor)
    assert tensor.item() == 1.0


def test_what_torch_says_of_a_lost_process_becomes_an_error_of_its_own(monkeypatch):
    def lost(*arguments, **options):
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(dist, "all_reduce", lost)
    processes = Processes(Share(0, 2), group=True, control=True)
    with pytest.raises(ProcessLostError, match="closed by peer"):
        processes.add(torch.ones(1))


def test_the_end_is_that_of_the_fit(group, monkeypatch):
    class EndError(Exception):
        """What the fit makes of it."""

    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with (
        pytest.raises(EndError),
        open_processes(torch.device("cpu"), 10.0, lambda *_: EndError(), alone=False),
    ):
        raise ProcessLostError("gone")


def test_one_speaks_and_knows_why(tmp_path):
    store = dist.FileStore(str(tmp_path / "store"), 2)
    first, second = Speaker(store, 0), Speaker(store, 1)
    assert [second.is_first("a"), first.is_first("a"), first.is_first("b")] == [True, False, True]
    assert first.reason() is None
    second.leave_reason(ValueError("x must be a tensor"))
    assert first.reason() == "process 1: ValueError: x must be a tensor"
    assert Speaker(None, 0).is_first("a")
    assert Speaker(None, 0).reason() is None


def test_signals_are_the_callers_again(group):
    import signal

    before = signal.getsignal(signal.SIGTERM)
    with open_processes(torch.device("cpu"), 10.0, never, alone=False):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.set_wakeup_fd(-1) == -1
    assert not [each for each in threading.enumerate() if "_watch" in each.name]
