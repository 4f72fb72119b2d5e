"""``bayesnas compress``: a network made as small as validation data allow."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import nn

import bayesnas as bn
from bayesnas.checks import seed_number
from bayesnas.cli.loading import load_data
from bayesnas.cli.make_model import network_of
from bayesnas.cli.output import Outcome, note
from bayesnas.data import DataSet, Split
from bayesnas.inference.compression.compressed import Compressed
from bayesnas.inference.deployment.plain_network import metadata_of
from bayesnas.likelihoods import Likelihood
from bayesnas.nn import StandardisedNet
from bayesnas.nn.graphs.module_file import check_net_path, save_net
from bayesnas.report.findings import judged_part
from bayesnas.report.tables import table


def run(args: argparse.Namespace) -> Outcome:
    """Compress, save what is asked for, and say what is left."""
    if args.out is not None:
        check_net_path(args.out, "out")
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
        metadata = metadata_of(small.posterior.model, data.info, data.train.x)
        save_net(small.module, args.out, data.train.x[:2], metadata=metadata)
    return _outcome(args, data, small, name, _figures(small, part))


def _figures(small: Compressed, part: Split) -> dict[str, float]:
    """Of the plain network: mean log loss, and for classes the share that is right."""
    likelihood = small.posterior.model.likelihood
    assert isinstance(likelihood, Likelihood)
    device = small.posterior.example[0].device
    x, y = part.x.to(device), part.y.to(device)
    net = small.module
    net = net.net if isinstance(net, StandardisedNet) else net  # for rows as the fit saw them
    with torch.no_grad():
        output = net(x)
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
    }
    return Outcome("\n".join(lines), content)


def _parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())
