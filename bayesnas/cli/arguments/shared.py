"""Options that several commands share."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from bayesnas.cli.arguments.values import metaparameter, path_word
from bayesnas.words import DATA_SETS

Commands = Any
"""What ``ArgumentParser.add_subparsers`` gives."""

_DATA_OPTIONS = (
    "root",
    "target",
    "drop",
    "task",
    "test",
    "validation",
    "split_seed",
    "standardise",
    "stream",
    "workers",
)


def add_command(
    commands: Commands,
    name: str,
    *,
    summary: str,
    description: str,
    example: str,
    help_action: str | type[argparse.Action] = "help",
    folder: str = "",
) -> argparse.ArgumentParser:
    """A parser of one command, which :mod:`bayesnas.cli.commands` carries out.

    Args:
        commands: of the whole command line.
        name: of the command, and of its module.
        summary: a line in the list of commands.
        description: what it does, for its own help.
        example: lines that show it.
        help_action: what ``--help`` does.
        folder: of its module in :mod:`bayesnas.cli.commands`, with a dot behind it.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description.strip(),
        epilog=f"example:\n{textwrap.indent(textwrap.dedent(example).strip(), '  ')}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument(
        "-h",
        "--help",
        action=help_action,
        default=argparse.SUPPRESS,
        help="show this message and exit",
    )
    parser.set_defaults(module=f"bayesnas.cli.commands.{folder}{name}")
    return parser


def add_data_options(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    """The data set, and how it is read and split; see ``bayesnas.data.load``.

    Args:
        parser: gets the options.
        default: name of the data set where none is given; None: the one of the run.
    """
    group = parser.add_argument_group("data")
    where = "as stored with the run" if default is None else default
    group.add_argument(
        "--data",
        default=default,
        metavar="NAME|PATH",
        help=f"{', '.join(DATA_SETS)}, a .npz or .csv file, or a folder of .npy files or of images "
        f"by class (default: {where})",
    )
    add_root_option(group)
    group.add_argument("--target", metavar="COLUMN", help="column of a .csv to predict (the last)")
    group.add_argument(
        "--drop", nargs="+", metavar="COLUMN", help="columns of a .csv to leave out (none)"
    )
    group.add_argument(
        "--task", choices=("classification", "regression"), help="of a file (by its targets)"
    )
    group.add_argument(
        "--test",
        type=float,
        metavar="FRACTION",
        help="rows held out for testing (0.2, or the part that the set brings)",
    )
    group.add_argument(
        "--validation", type=float, metavar="FRACTION", help="rows held out for validation (none)"
    )
    group.add_argument("--split-seed", type=int, metavar="N", help="of the split (0)")
    group.add_argument(
        "--standardise",
        action="store_true",
        default=None,
        help="give every input, and the target of a regression, mean 0 and variance 1",
    )
    group.add_argument(
        "--stream",
        action="store_true",
        default=None,
        help="read the rows of a folder when they are needed: for what the memory does not hold",
    )
    group.add_argument(
        "--workers", type=int, metavar="N", help="processes that read them ahead (0: this one)"
    )


def add_root_option(parser: argparse._ActionsContainer) -> None:
    """Where data sets of known names lie."""
    parser.add_argument(
        "--root",
        metavar="DIR",
        help="folder of downloaded sets (default: BAYESNAS_DATA, or the user's cache)",
    )


def data_options_given(args: argparse.Namespace) -> list[str]:
    """Options of :func:`add_data_options` besides ``--data`` that stand on the command line."""
    given = [name for name in _DATA_OPTIONS if getattr(args, name) is not None]
    return [f"--{name.replace('_', '-')}" for name in given]


def run_option_words(args: argparse.Namespace) -> list[str]:
    """Words that say again how a run and its data are read: what is not as by default."""
    words = ["--draws", str(args.draws)]
    for name in ("kl_weight", "data", *_DATA_OPTIONS):
        value, option = getattr(args, name), f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value is not None:
            words += [option, *map(str, value if isinstance(value, list) else [value])]
    if args.metaparameters:
        words.append("--metaparameters")
        words += [f"{name}={value!r}" for name, value in args.metaparameters]
    return words


def add_draws_option(parser: argparse.ArgumentParser) -> None:
    """How many draws of the weights metrics are averaged over."""
    parser.add_argument(
        "--draws",
        type=int,
        default=32,
        metavar="N",
        help="draws of the weights behind the metrics; 0: posterior means (%(default)s)",
    )


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """How a command speaks."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress and no messages")


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Where to compute."""
    parser.add_argument(
        "--device", default="auto", help="auto (a GPU where there is one), cpu, cuda (%(default)s)"
    )


def add_encode_option(parser: argparse.ArgumentParser) -> None:
    """A file of few bytes to write a network to."""
    parser.add_argument(
        "--encode",
        type=path_word,
        metavar="FILE",
        help="write the plain network in few bytes, read by bayesnas.decode",
    )


def add_kl_weight_option(parser: argparse.ArgumentParser) -> None:
    """Which posterior of a run that was fitted over a range of KL weights."""
    parser.add_argument(
        "--kl-weight", type=float, metavar="λ", help="of a run that was fitted over a range of them"
    )
    add_metaparameters_option(parser)


def add_metaparameters_option(parser: argparse._ActionsContainer) -> None:
    """Where a run lies that was fitted over metaparameters besides the KL weight."""
    parser.add_argument(
        "--metaparameters",
        type=metaparameter,
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="of a run that was fitted over ranges of others besides λ",
    )


def add_run_folder(parser: argparse.ArgumentParser) -> None:
    """The folder of the run."""
    parser.add_argument(
        "run_folder", metavar="RUN", type=path_word, help="folder of a finished run"
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """The folder of the run, and where its data is if the run does not say so."""
    add_run_folder(parser)
    add_draws_option(parser)
    add_device_option(parser)
    add_output_options(parser)
    add_data_options(parser, default=None)
