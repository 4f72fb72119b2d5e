"""Which stored runs are the one that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

import bayesnas as bn
from bayesnas.inference.runs.compatibility import check_same_run


@pytest.mark.parametrize(("before", "now"), [("auto", "trace"), ("trace", "auto")])
def test_steps_that_were_left_open_may_be_asked_for_otherwise(net, xy, before, now):
    """As by several processes, or on a GPU, where no trial decides."""
    run = bn.fit(net, xy, steps=2, batch_size=9).run
    stored = run.to_dict("running")
    stored["settings"] |= {"compile": before}
    asked = dict(stored, settings=stored["settings"] | {"compile": now})
    run.to_dict = lambda status: asked
    check_same_run(Path("run.json"), stored, run)


def test_steps_that_were_stated_are_not_taken_otherwise(net, xy):
    run = bn.fit(net, xy, steps=2, batch_size=9, compile=False).run
    stored = run.to_dict("running")
    stored["settings"] |= {"compile": "trace"}
    with pytest.raises(ValueError, match="has settings compile='trace', got compile='eager'"):
        check_same_run(Path("run.json"), stored, run)
