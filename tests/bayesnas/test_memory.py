"""What memory a process can still have."""

from __future__ import annotations

import resource

import pytest

from bayesnas.memory import available_memory


@pytest.mark.parametrize("name", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_limits_of_the_process_count(monkeypatch, name):
    """``ulimit -v`` and ``ulimit -d``: what is left of them, and nothing where they are used up."""
    really = resource.getrlimit
    left: dict[int, int] = {}

    def getrlimit(which):
        return left.get(which, really(which)[0]), resource.RLIM_INFINITY

    before = available_memory()
    monkeypatch.setattr(resource, "getrlimit", getrlimit)
    assert available_memory() == pytest.approx(before, rel=0.5)
    left[getattr(resource, name)] = 1
    assert available_memory() == 0
    left[getattr(resource, name)] = 2**40
    limited = available_memory()
    assert 0 < limited < 2**40
