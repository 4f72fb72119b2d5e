"""What ``bayesnas compress`` is told."""

from __future__ import annotations

from bayesnas.cli.arguments.models import add_likelihood_options, add_network_options
from bayesnas.cli.arguments.names import GROUP_PRIORS
from bayesnas.cli.arguments.shared import (
    Commands,
    add_command,
    add_data_options,
    add_device_option,
    add_output_options,
)
from bayesnas.cli.arguments.values import path_word

_DESCRIPTION = """
Train a network, remove whole inputs and units of it in stages, and keep the smallest network that
is as good on validation rows: without --validation a tenth of the training rows, each class in
proportion.
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "compress",
        summary="make a network as small as validation data allow",
        description=_DESCRIPTION,
        example="bayesnas compress --data mnist --hidden 300,100 --out small.safetensors",
    )
    add_network_options(parser, " (100)")
    parser.add_argument(
        "--prior",
        choices=GROUP_PRIORS,
        default="horseshoe",
        help="of the scale of a group (%(default)s)",
    )
    add_likelihood_options(parser)
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1.0,
        metavar="ERRORS",
        help="standard errors that the validation loss may lie above the lowest (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all chance (0)")
    parser.add_argument(
        "--out",
        type=path_word,
        metavar="FILE",
        help="write the plain network: .safetensors (read by bayesnas.nn.load_net), .pt2 (by "
        "torch.export.load) or .onnx",
    )
    add_device_option(parser)
    add_output_options(parser)
    add_data_options(parser, default="digits")
