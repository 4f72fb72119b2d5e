"""What ``bayesnas prune`` is told."""

from __future__ import annotations

from bayesnas.cli.arguments.names import PRUNING_RULES
from bayesnas.cli.arguments.shared import (
    Commands,
    add_command,
    add_encode_option,
    add_kl_weight_option,
    add_run_options,
)
from bayesnas.cli.arguments.values import path_word

_DESCRIPTION = """
Remove weights of a fitted run, those with the largest posterior density at zero first, or whole
groups of them, and print the metrics before and after. The run itself stays as it is.
"""
_EXAMPLE = """
bayesnas prune runs/a --fraction 0.5 --out runs/a-half
bayesnas prune runs/a --threshold 0.9 --compact small.safetensors
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    listed = "\n".join(f"  {name:<11}{title}" for name, title in PRUNING_RULES.items())
    parser = add_command(
        commands,
        "prune",
        summary="remove weights of a run",
        description=f"{_DESCRIPTION}\ncriteria:\n{listed}",
        example=_EXAMPLE,
        folder="runs.",
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument(
        "--fraction", type=float, metavar="F", help="of all weights and biases to remove"
    )
    amount.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="remove where exp(-mean²/2sd²) >= T; by magnitude, where |mean| <= T; by evidence, "
        "where it rises by >= T nats (0); by obd and fisher, where the loss rises by <= T; by "
        "group, where its score >= T",
    )
    parser.add_argument(
        "--by",
        choices=(*PRUNING_RULES, "group"),
        default="density",
        help="what is removed first (%(default)s); group: whole units and filters of a "
        "bayesian-compression run",
    )
    parser.add_argument(
        "--groups", action="store_true", help="remove whole input units and filters"
    )
    parser.add_argument(
        "--keep-biases", action="store_true", help="remove no biases, and count none"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of a random order (0)")
    parser.add_argument(
        "--out", type=path_word, metavar="DIR", help="folder to save the pruned run in, a new one"
    )
    parser.add_argument(
        "--compact",
        type=path_word,
        metavar="FILE",
        help="write the plain network of posterior means, without the units that are dead: "
        ".safetensors (read by bayesnas.nn.load_net), .pt2 (by torch.export.load) or .onnx",
    )
    add_encode_option(parser)
    add_kl_weight_option(parser)
    add_run_options(parser)
