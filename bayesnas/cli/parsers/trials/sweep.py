"""What ``bayesnas sweep`` is told."""

from __future__ import annotations

from bayesnas.cli.arguments.shared import Commands, add_command, add_output_options
from bayesnas.cli.arguments.trials import add_trial_options
from bayesnas.cli.parsers.trials.checks import check_sweep

_DESCRIPTION = """
Fit every combination of the options that vary: models, data, λ, priors, seeds. Each is a trial
with a run folder of its own, a row of table.csv. Workers on one or several machines share them; one
that is killed loses no more than the steps since its last checkpoint.
Needs pip install 'bayesnas[search]'.
"""
_EXAMPLE = """
bayesnas sweep --vary kl-weight=0.1,1,10 --vary seed=0,1,2 --out runs/sweep --workers 2 \\
  -- gaussian-net --data digits --epochs 20
bayesnas sweep --vary model=gaussian-net,spike-and-slab-net --objective nll,parameters_kept \\
  --out runs/models -- --data digits
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "sweep",
        summary="fit every combination of some options",
        description=_DESCRIPTION,
        example=_EXAMPLE,
        folder="trials.",
    )
    add_trial_options(parser, objective="nll")
    add_output_options(parser)
    parser.set_defaults(check=check_sweep, strategy="grid", trials=None, seed=0)
