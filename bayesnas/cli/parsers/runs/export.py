"""What ``bayesnas export`` is told."""

from __future__ import annotations

import argparse

from bayesnas.cli.arguments.shared import (
    Commands,
    add_command,
    add_data_options,
    add_device_option,
    add_kl_weight_option,
    add_output_options,
    add_run_folder,
)
from bayesnas.cli.arguments.values import path_word

SUFFIXES = {
    "netcdf": ".nc",
    "safetensors": ".safetensors",
    "pt2": ".pt2",
    "onnx": ".onnx",
    "code": ".bin",
}

_DESCRIPTION = """
Write a fitted run as one file for other programs: the posterior as netCDF for ArviZ, or its compact
network for torch and ONNX. A network takes rows in the units of the data and gives the units of the
targets; names of features and classes go with it, but for code: a sample of the posterior of a
gaussian run in a file of --size bytes, for bayesnas.decode.
"""
_EXAMPLE = """
bayesnas export runs/a --format netcdf
bayesnas export runs/a --format onnx --out net.onnx
bayesnas export runs/a --format code --size 3000
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "export",
        summary="a run as one file for other programs",
        description=_DESCRIPTION,
        example=_EXAMPLE,
        folder="runs.",
    )
    parser.set_defaults(check=_check)
    add_run_folder(parser)
    parser.add_argument(
        "--format",
        required=True,
        choices=tuple(SUFFIXES),
        help="netcdf: draws, with log-likelihoods of the training part; safetensors: weights, "
        "layers in the header; pt2: a program of torch; onnx: the same for ONNX runtimes; "
        "code: weights as a sample of the posterior, trained on for it",
    )
    parser.add_argument(
        "--size", type=int, metavar="BYTES", help="of code: what the file has at most"
    )
    parser.add_argument(
        "--out", type=path_word, metavar="FILE", help="a new file (RUN/export.SUFFIX)"
    )
    parser.add_argument(
        "--draws", type=int, default=500, metavar="N", help="of netcdf, a chain (%(default)s)"
    )
    add_kl_weight_option(parser)
    add_device_option(parser)
    add_output_options(parser)
    add_data_options(parser, default=None)


def _check(args: argparse.Namespace) -> None:
    if (args.size is None) == (args.format == "code"):
        raise ValueError("size must be given for --format code, and for no other")
    suffix = SUFFIXES[args.format]
    if args.out is not None and args.out.suffix != suffix:
        raise ValueError(f"out must end in {suffix} for --format {args.format}, got {args.out}")
