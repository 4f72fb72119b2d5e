"""An eager step enters few of the package's files: what happens in one can be followed."""

from __future__ import annotations

import runpy
from pathlib import Path

MOST_FILES = 30
MOST_CHANGES = 174  # half of what it was when one folder held all of inference

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "step_hops.py"


def test_an_eager_step_enters_few_files() -> None:
    hops = runpy.run_path(str(SCRIPT))["of_a_step"]()
    assert "inference/steps/eager_step.py" in hops.calls
    assert hops.files <= MOST_FILES
    assert hops.changes <= MOST_CHANGES
