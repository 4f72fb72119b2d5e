"""What ``bayesnas search`` is told."""

from __future__ import annotations

from bayesnas.cli.arguments.names import SAMPLERS
from bayesnas.cli.arguments.shared import Commands, add_command, add_output_options
from bayesnas.cli.arguments.trials import add_trial_options
from bayesnas.cli.parsers.trials.checks import check_trials

_DESCRIPTION = """
Search for the best options of a fit: layers, widths, priors, λ, learning rate, and the operation on
every edge of a graph. A trial is one fit in a run folder of its own, judged on the validation part;
a strategy proposes the next. Trials are a study of Optuna, which several processes and machines
share and which survives all of them.
Needs pip install 'bayesnas[search]'.
"""
_EXAMPLE = """
bayesnas search --vary hidden=20|50|100,50 --vary kl-weight=0.01:10:log --vary lr=1e-3:0.1:log \\
  --trials 40 --out runs/search -- gaussian-net --data digits --epochs 20
bayesnas search --graph cell.json --strategy regularised-evolution --trials 60 \\
  --objective error --out runs/cell -- gaussian-net --data digits --epochs 20
bayesnas search --vary hidden=20|50 --strategy nsga2 --objective nll,parameters --workers 4 \\
  --out runs/front -- gaussian-net --data digits --epochs 20
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "search",
        summary="search for the best options of a fit",
        description=_DESCRIPTION,
        example=_EXAMPLE,
        folder="trials.",
    )
    parser.add_argument(
        "--strategy",
        default="tpe",
        metavar="NAME",
        help=f"{', '.join(SAMPLERS)}, or one of docs/search.md (%(default)s)",
    )
    parser.add_argument(
        "--trials", type=int, default=100, metavar="N", help="how many (%(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the strategy (%(default)s)"
    )
    add_trial_options(parser, objective="nll")
    add_output_options(parser)
    parser.set_defaults(check=check_trials)
