"""``bayesnas search``: the best options of a fit."""

from __future__ import annotations

import argparse

from bayesnas.cli.commands.trials.outcome import run_study
from bayesnas.cli.output import Outcome


def run(args: argparse.Namespace) -> Outcome:
    """Search."""
    return run_study(args, "search")
