"""What ``bayesnas compress`` is told."""

from __future__ import annotations

import argparse

from bayesnas.cli.arguments.models import add_likelihood_options, add_network_options
from bayesnas.cli.arguments.names import GROUP_PRIORS
from bayesnas.cli.arguments.shared import (
    Commands,
    add_command,
    add_data_options,
    add_device_option,
    add_encode_option,
    add_metaparameters_option,
    add_output_options,
)
from bayesnas.cli.arguments.values import path_word

_DESCRIPTION = """
Make a network as small as validation data allow. With RUN, a network fitted over KL weights with
--validation: remove whole units and single weights at each λ, and take the smallest network that is
as good on the validation part; nothing is trained. Without RUN: train a network, fit it and remove
whole inputs and units of it in stages, judged on --validation or else a tenth of the training rows.
"""
_EXAMPLE = """
bayesnas compress runs/all --out small.pt2
bayesnas compress --data mnist --hidden 300,100 --out small.safetensors
"""
_OF_A_FIT = ("hidden", "activation", "prior", "likelihood", "noise_scale", "seed")


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "compress",
        summary="make a network as small as validation data allow",
        description=_DESCRIPTION,
        example=_EXAMPLE,
    )
    parser.set_defaults(check=_check)
    parser.add_argument(
        "run_folder", metavar="RUN", nargs="?", type=path_word, help="folder of a finished run"
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1.0,
        metavar="ERRORS",
        help="standard errors that the validation loss may lie above the lowest (%(default)s)",
    )
    parser.add_argument(
        "--out",
        type=path_word,
        metavar="FILE",
        help="write the plain network: .safetensors (read by bayesnas.nn.load_net), .pt2 (by "
        "torch.export.load) or .onnx",
    )
    parser.add_argument(
        "--picture",
        type=path_word,
        metavar="FILE",
        help="what is left, drawn: .png, .pdf or .svg; one that is there is replaced "
        "(RUN/compressed.png)",
    )
    add_encode_option(parser)
    add_device_option(parser)
    add_output_options(parser)
    group = parser.add_argument_group("of a run")
    group.add_argument(
        "--kl-weights",
        type=float,
        nargs="+",
        metavar="λ",
        help="to choose from (9 over the range of the fit)",
    )
    add_metaparameters_option(group)
    group = parser.add_argument_group("without a run")
    add_network_options(group, " (100)")
    group.add_argument(
        "--prior", choices=GROUP_PRIORS, help=f"of the scale of a group ({GROUP_PRIORS[1]})"
    )
    add_likelihood_options(group)
    group.add_argument("--seed", type=int, metavar="N", help="of all chance (0)")
    add_data_options(parser, default=None)


def _check(args: argparse.Namespace) -> None:
    """Refuse what does not go with a run, or without."""
    if args.run_folder is None:
        if args.kl_weights is not None:
            raise ValueError("kl_weights needs RUN, a fit over KL weights")
        return
    given = [name for name in _OF_A_FIT if getattr(args, name) is not None]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(f"{options} can't come with RUN, which is fitted already")
