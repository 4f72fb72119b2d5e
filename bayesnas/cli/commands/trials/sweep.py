"""``bayesnas sweep``: every combination of some options."""

from __future__ import annotations

import argparse

from bayesnas.cli.commands.trials.outcome import run_study
from bayesnas.cli.output import Outcome


def run(args: argparse.Namespace) -> Outcome:
    """Fit all."""
    return run_study(args, "sweep")
