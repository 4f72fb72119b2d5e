"""``bayesnas compress``: a network made as small as validation data allow."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import nn

import bayesnas as bn
from bayesnas.checks import seed_number
from bayesnas.cli.loading import in_memory, load_data, open_fitted
from bayesnas.cli.make_model import hidden_widths
from bayesnas.cli.output import Outcome, encoded, note
from bayesnas.coding.encoding import check_new
from bayesnas.data import DataSet, Split
from bayesnas.inference.compression.compressed import Compressed
from bayesnas.inference.compression.smallest import smallest
from bayesnas.likelihoods import Likelihood
from bayesnas.models.for_data import network_for_data
from bayesnas.models.plain_network import metadata_of
from bayesnas.nn.graphs.module_file import check_net_path, save_net
from bayesnas.report.compressed_figure import compressed_figure, layer_sizes
from bayesnas.report.figure import check_picture_path, write_figure
from bayesnas.report.findings import judged_part
from bayesnas.report.tables import table


def run(args: argparse.Namespace) -> Outcome:
    """Compress, save what is asked for, and say what is left."""
    if args.out is not None:
        check_net_path(args.out, "out")
    if args.encode is not None:
        check_new(args.encode, "encode")
    if args.picture is not None:
        check_picture_path(args.picture, "picture")
    if args.run_folder is None:
        data, whole, small = _from_data(args)
    else:
        data, whole, small = _from_run(args)
    name, part = judged_part(data)
    if args.out is not None:
        metadata = metadata_of(small.posterior.model, data.info, data.train.x)
        save_net(small.in_data_units(), args.out, data.train.x[:2], metadata=metadata)
    picture = args.picture
    if picture is None and args.run_folder is not None:
        picture = args.run_folder / "compressed.png"
    if picture is not None:
        write_figure(compressed_figure(small, whole, data.info), picture)
    size = None if args.encode is None else small.encode(args.encode)
    return _outcome(args, data, small, name, _figures(small, part), picture, size)


def _from_run(args: argparse.Namespace) -> tuple[DataSet, nn.Module, Compressed]:
    """The smallest network along the KL weight of a run, chosen on its validation part."""
    post, opened = open_fitted(args)
    data = in_memory(opened, "compress")
    if data.validation is None:
        raise ValueError(
            f"RUN must be fitted with --validation, on which sizes are chosen, got "
            f"{args.run_folder} without"
        )
    small = smallest(post, data.validation, kl_weights=args.kl_weights, tolerance=args.tolerance)
    return data, small.posterior.run.model.plain_module(), small


def _from_data(args: argparse.Namespace) -> tuple[DataSet, nn.Module, Compressed]:
    """A network trained, fitted and made smaller in stages."""
    seed = seed_number("seed", 0 if args.seed is None else args.seed)
    data = in_memory(load_data(args), "compress")
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # of the weights that it begins with
        net, likelihood = network_for_data(
            data.train, hidden_widths(args.hidden), args.activation, args.likelihood
        )
    note(f"{_parameters(net):,} parameters, {data.name}", args.quiet)
    small = bn.compress(
        net,
        data.train,
        prior="horseshoe" if args.prior is None else args.prior,
        likelihood=likelihood,
        noise_scale=args.noise_scale,
        validation=0.1 if data.validation is None else data.validation,
        tolerance=args.tolerance,
        seed=seed,
        device=args.device,
        progress=not args.quiet,
    )
    return data, net, small


def _figures(small: Compressed, part: Split) -> dict[str, float]:
    """Of the plain network: mean log loss, and for classes the share that is right."""
    likelihood = small.posterior.model.likelihood
    assert isinstance(likelihood, Likelihood)
    device = small.posterior.example[0].device
    x, y = part.x.to(device), part.y.to(device)
    with torch.no_grad():
        output = small.module(x)
        observed = likelihood.observed(y, output)
        figures = {"nll": -float(likelihood(output).log_prob(observed).sum()) / len(part)}
    if part.info.task == "classification" and output.shape[-1] == part.info.classes:
        figures["accuracy"] = float((output.argmax(-1) == y).double().mean())
    return figures


def _outcome(
    args: argparse.Namespace,
    data: DataSet,
    small: Compressed,
    name: str,
    metrics: dict[str, float],
    picture: Path | None,
    encoded_size: int | None,
) -> Outcome:
    path = small.path.reset_coords().to_dataframe()
    settings = small.posterior.settings
    figures = ", ".join(f"{key} {value:.4g}" for key, value in metrics.items())
    lines = [
        _stages(path),
        f"{small.posterior.model.describe()} on {data.name}, λ = {settings.kl_weight:.4g}, seed "
        f"{settings.seed}: {small.weights:,} of {small.weights_before:,} weights "
        f"({100 * small.kept:.1f} %), units {_units(small.module)}",
        f"{name} part: {figures}",
    ]
    size = None if args.out is None else args.out.stat().st_size
    if size is not None:
        lines.append(f"network in {args.out}, {size:,} bytes")
    if picture is not None:
        lines.append(f"picture: {picture}")
    if encoded_size is not None:
        lines.append(f"network in {encoded_size:,} bytes, {args.encode}")
    content: dict[str, Any] = {
        "run": None if args.run_folder is None else str(args.run_folder),
        "model": small.posterior.model.describe(),
        "data": data.name,
        "prior": small.posterior.model.config().get("prior"),
        "kl_weight": settings.kl_weight,
        "seed": settings.seed,
        "weights": {"before": small.weights_before, "after": small.weights},
        "parameters": _parameters(small.module),
        "part": name,
        "metrics": metrics,
        "stages": path.to_dict("records"),
        "out": None if args.out is None else str(args.out),
        "bytes": size,
        "picture": None if picture is None else str(picture),
        "encoded": encoded(args.encode, encoded_size),
    }
    return Outcome("\n".join(lines), content)


def _stages(path: Any) -> str:
    """Every stage, the one that is taken marked; of a run, what each KL weight comes to."""
    along = "kl_weight" in path
    names = ["kl_weight", "weights", "nonzero"] if along else ["weights", "parameters"]
    rows = [[*(("λ" if name == "kl_weight" else name) for name in names), "validation loss", ""]]
    for row in path.to_dict("records"):
        cells = [f"{row[n]:.4g}" if n == "kl_weight" else f"{row[n]:,}" for n in names]
        loss = f"{row['loss']:.4g} ± {row['loss_error']:.2g}"
        rows.append([*cells, loss, "<" * bool(row["chosen"])])
    return table(rows)


def _units(net: nn.Module) -> str:
    """Units, or channels, of every layer, from the inputs that are read on."""
    return "–".join(map(str, layer_sizes(net)))


def _parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())
