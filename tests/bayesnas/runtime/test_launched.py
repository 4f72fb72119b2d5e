"""What the environment says of processes that were launched together."""

from __future__ import annotations

import pytest

from bayesnas.runtime.launched import launched, speaks

TWO = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


def test_as_torchrun_says_it():
    on_two_machines = TWO | {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    assert launched(on_two_machines | {"LOCAL_WORLD_SIZE": "4"}) == (5, 8, 1, 4)


@pytest.mark.parametrize("missing", list(TWO))
def test_a_process_by_itself(missing):
    assert launched({name: value for name, value in TWO.items() if name != missing}) is None
    assert launched(TWO | {"RANK": "0", "WORLD_SIZE": "1"}) is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"RANK": "2"}, "RANK must be below WORLD_SIZE, got RANK=2, WORLD_SIZE=2"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE must be a whole number, got 'two'"),
    ],
)
def test_wrong_variables(wrong, message):
    with pytest.raises(ValueError, match=message):
        launched(TWO | wrong)


def test_who_speaks(monkeypatch):
    assert speaks()
    for name, value in TWO.items():
        monkeypatch.setenv(name, value)
    assert not speaks()
    monkeypatch.setenv("RANK", "0")
    assert speaks()
