"""``bayesnas compress``: a network made as small as validation data allow."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import nn

import bayesnas as bn
from bayesnas.checks import seed_number
from bayesnas.cli.model_options import network_of
from bayesnas.cli.options import (
    add_data_options,
    add_device_option,
    add_encode_option,
    add_output_options,
    encoded,
    load_data,
    path_word,
    widths,
)
from bayesnas.cli.output import Outcome, note
from bayesnas.coding.encoding import check_new
from bayesnas.data import DataSet, Split
from bayesnas.inference.compression.compressed import Compressed
from bayesnas.likelihoods import Likelihood
from bayesnas.models.compression.bayesian_compression import PRIORS
from bayesnas.nn.graphs.module_file import check_net_path, save_net
from bayesnas.report.findings import judged_part
from bayesnas.report.tables import table

_DESCRIPTION = """
Train a network, remove whole inputs and units of it in stages, and keep the smallest network that
is as good on validation rows: without --validation a tenth of the training rows, each class in
proportion.
"""
_EXAMPLE = """
example:
  bayesnas compress --data mnist --hidden 300,100 --out small.safetensors
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "compress",
        help="make a network as small as validation data allow",
        description=_DESCRIPTION.strip(),
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--hidden",
        nargs="+",
        type=widths,
        metavar="WIDTH",
        help="units of every hidden layer, as in '300 100' or '300,100'; none: linear (100)",
    )
    parser.add_argument("--activation", help="between the layers (relu)")
    parser.add_argument(
        "--prior",
        choices=PRIORS,
        default="horseshoe",
        help="of the scale of a group (%(default)s)",
    )
    parser.add_argument(
        "--likelihood",
        choices=bn.likelihoods.available(),
        help="categorical for classes, gaussian for numbers",
    )
    parser.add_argument(
        "--noise-scale",
        type=float,
        metavar="SCALE",
        help="standard deviation of the noise of a gaussian likelihood (learned)",
    )
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
        help="write the plain network: .safetensors (read by bayesnas.nn.load_net) or .pt2 "
        "(by torch.export.load)",
    )
    add_encode_option(parser)
    add_device_option(parser)
    add_output_options(parser)
    add_data_options(parser, default="digits")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Outcome:
    """Compress, save what is asked for, and say what is left."""
    if args.out is not None:
        check_net_path(args.out, "out")
    if args.encode is not None:
        check_new(args.encode, "encode")
    data = load_data(args)
    with torch.random.fork_rng():
        torch.manual_seed(seed_number("seed", args.seed))  # of the weights that it begins with
        net, likelihood = network_of(data, args.hidden, args.activation, args.likelihood)
    note(f"{_parameters(net):,} parameters, {data.name}", args.quiet)
    small = bn.compress(
        net,
        data.train,
        prior=args.prior,
        likelihood=likelihood,
        noise_scale=args.noise_scale,
        validation=0.1 if data.validation is None else data.validation,
        tolerance=args.tolerance,
        seed=args.seed,
        device=args.device,
        progress=not args.quiet,
    )
    name, part = judged_part(data)
    if args.out is not None:
        save_net(small.module, args.out, data.train.x[:2])
    size = None if args.encode is None else small.encode(args.encode)
    return _outcome(args, data, small, name, _figures(small, part), size)


def _figures(small: Compressed, part: Split) -> dict[str, float]:
    """Of the plain network: mean log loss, and for classes the share that is right."""
    likelihood = small.posterior.model.likelihood
    assert isinstance(likelihood, Likelihood)
    device = small.posterior.example[0].device
    x, y = part.x.to(device), part.y.to(device)
    with torch.no_grad():
        output = small.module(x)
        observed = likelihood.observed(y, output)
        found = {"nll": -float(likelihood(output).log_prob(observed).sum()) / len(part)}
    if part.info.task == "classification" and output.shape[-1] == part.info.classes:
        found["accuracy"] = float((output.argmax(-1) == y).double().mean())
    return found


def _outcome(
    args: argparse.Namespace,
    data: DataSet,
    small: Compressed,
    name: str,
    found: dict[str, float],
    size: int | None,
) -> Outcome:
    path = small.path.reset_coords().to_dataframe()
    rows = [["weights", "parameters", "validation loss", ""]]
    for row in path.itertuples():
        loss = f"{row.loss:.4g} ± {row.loss_error:.2g}"
        rows.append([f"{row.weights:,}", f"{row.parameters:,}", loss, "<" * bool(row.chosen)])
    figures = ", ".join(f"{key} {value:.4g}" for key, value in found.items())
    lines = [
        table(rows),
        f"{small.posterior.model.describe()} on {data.name}, seed {args.seed}: "
        f"{small.weights:,} of {small.weights_before:,} weights ({100 * small.kept:.1f} %)",
        f"{name} part: {figures}",
    ]
    if args.out is not None:
        lines.append(f"network in {args.out}")
    if size is not None:
        lines.append(f"network in {size:,} bytes, {args.encode}")
    content: dict[str, Any] = {
        "data": data.name,
        "prior": args.prior,
        "seed": args.seed,
        "weights": {"before": small.weights_before, "after": small.weights},
        "parameters": _parameters(small.module),
        "part": name,
        "metrics": found,
        "stages": path.to_dict("records"),
        "out": None if args.out is None else str(args.out),
        "encoded": encoded(args.encode, size),
    }
    return Outcome("\n".join(lines), content)


def _parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())
