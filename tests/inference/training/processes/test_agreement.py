"""What processes were given is compared, and how they end."""

from __future__ import annotations

import pytest
import torch

import bayesnas as bn
from bayesnas.inference.training.processes.agreement import (
    check_same_fit,
    ending,
    start_as_the_first,
)
from bayesnas.runtime.processes.group import Processes
from bayesnas.runtime.processes.lost import ProcessLostError
from bayesnas.runtime.processes.share import Share


class Told(Processes):
    """The second of two processes, with what the first one says."""

    def __init__(self, said):
        super().__init__(Share(1, 2))
        self._said = said

    def of_first(self, function):
        return self._said

    def gathered(self, value):
        return [self._said, value]


def described(net, xy, **options):
    run = bn.fit(net, xy, steps=2, batch_size=9, **options).run
    return run, run.to_dict("running")


def test_the_same_run_passes_wherever_its_data_come_from(net, xy):
    run, content = described(net, xy)
    content["data"] = content["data"] | {"source": "elsewhere"}
    check_same_fit(run, Told(content))


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("settings", {"lr": 3.0}, r"settings has lr=0\.01, not 3\.0"),
        ("model", {"class": "Other"}, "model has class='GaussianNet', not 'Other'"),
        ("fingerprint", "another", "its training data differ"),
        ("weights", "some", "its weights differ"),
    ],
)
def test_another_run_is_refused(net, xy, part, change, said):
    run, content = described(net, xy)
    content[part] = content[part] | change if isinstance(change, dict) else change
    message = f"distributed: process 1 was given another fit than process 0: .*{said}"
    with pytest.raises(ValueError, match=message):
        check_same_fit(run, Told(content))


def test_all_start_as_the_first(net):
    state = {
        name: value.logical_not() if value.dtype == torch.bool else value + 1
        for name, value in net.state_dict().items()
    }
    start_as_the_first(net, Told(state))
    assert all(bool((value == state[name]).all()) for name, value in net.state_dict().items())
    with pytest.raises(ValueError, match="process 1 was given another model than process 0"):
        start_as_the_first(net, Told({}))


@pytest.mark.parametrize(
    ("out", "said"),
    [("runs/a", "resume=True goes on from runs/a"), (None, "with out= a fit can be resumed")],
)
def test_one_process_says_how_to_go_on(out, said):
    processes, lost = Processes(Share(0, 2)), ProcessLostError("Connection closed by [127.0.0.1]")
    end = ending(lost, processes, "after step 3 of 9", out)
    assert isinstance(end, ProcessLostError)
    assert "ended after step 3 of 9 (its connection was closed); " in str(end)
    assert str(end).endswith(said)
    processes.speaker.is_first = lambda text: False
    silent = ending(lost, processes, "after step 3 of 9", out)
    assert isinstance(silent, SystemExit)
    assert silent.code == 1
