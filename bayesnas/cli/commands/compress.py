"""``bayesnas compress``: a network made as small as validation data allow."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

import bayesnas as bn
from bayesnas.checks import seed_number
from bayesnas.cli.loading import in_memory, load_data, open_fitted
from bayesnas.cli.make_model import hidden_widths
from bayesnas.cli.output import Outcome, encoded, note, number
from bayesnas.coding.encoding import check_new
from bayesnas.data import DataSet, Split
from bayesnas.inference.compression.compressed import Compressed, weight_count
from bayesnas.inference.compression.smallest import smallest
from bayesnas.likelihoods import Likelihood
from bayesnas.models.for_data import network_for_data
from bayesnas.models.plain_network import in_data_units, metadata_of
from bayesnas.nn.network_files.save import check_net_path, save_net
from bayesnas.report.compressed_figure import compressed_figure, layer_sizes, validation_loss
from bayesnas.report.figure import check_picture_path, write_figure
from bayesnas.report.findings import judged_part
from bayesnas.report.tables import table

_OPENED_BY = {
    ".pt2": "torch.export.load, without bayesnas",
    ".onnx": "onnxruntime, without bayesnas",
    ".safetensors": "bn.nn.load_net",
}


def run(args: argparse.Namespace) -> Outcome:
    """Compress, save what is asked for, and say what is left."""
    if args.out is not None:
        check_net_path(args.out, "out")
    if args.encode is not None:
        check_new(args.encode, "encode")
    if args.picture is not None:
        check_picture_path(args.picture, "picture")
    if args.run_folder is None:
        data, small = _from_data(args)
    else:
        data, small = _from_run(args)
    if args.out is not None:
        metadata = metadata_of(small.posterior.model, data.info, data.train.x)
        save_net(small.in_data_units(), args.out, data.train.x[:2], metadata=metadata)
    picture = args.picture
    if picture is None and args.run_folder is not None:
        picture = args.run_folder / "compressed.png"
    if picture is not None:
        write_figure(compressed_figure(small, data.info), picture)
    size = None if args.encode is None else small.encode(args.encode)
    return _outcome(args, data, small, picture, size)


def _from_run(args: argparse.Namespace) -> tuple[DataSet, Compressed]:
    """The smallest network along the KL weight of a run, chosen on its validation part."""
    post, opened = open_fitted(args)
    data = in_memory(opened, "compress")
    if data.validation is None:
        raise ValueError(
            f"RUN must be fitted with --validation, on which sizes are chosen, got "
            f"{args.run_folder} without"
        )
    small = smallest(post, data.validation, kl_weights=args.kl_weights, tolerance=args.tolerance)
    return data, small


def _from_data(args: argparse.Namespace) -> tuple[DataSet, Compressed]:
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
    return data, small


def _figures(net: nn.Module, small: Compressed, part: Split) -> dict[str, float]:
    """Of a plain network: mean log loss, and for classes the share that is right."""
    likelihood = small.posterior.model.likelihood
    assert isinstance(likelihood, Likelihood)
    device = small.posterior.example[0].device
    x, y = part.x.to(device), part.y.to(device)
    with torch.no_grad():
        output = net.to(device)(x)
        observed = likelihood.observed(y, output)
        figures = {"nll": -float(likelihood(output).log_prob(observed).sum()) / len(part)}
    if part.info.task == "classification" and output.shape[-1] == part.info.classes:
        figures["accuracy"] = float((output.argmax(-1) == y).double().mean())
    return figures


def _outcome(
    args: argparse.Namespace,
    data: DataSet,
    small: Compressed,
    picture: Path | None,
    encoded_size: int | None,
) -> Outcome:
    path = small.path.reset_coords().to_dataframe()
    settings = small.posterior.settings
    name, part = judged_part(data)
    before, after = _figures(small.whole, small, part), _figures(small.module, small, part)
    loss = f"validation {validation_loss(small.data)}"
    sizes: dict[str, int] = {}
    if args.out is not None:
        sizes = {"before": _bytes_of_whole(args.out, small, data), "after": args.out.stat().st_size}
    of_what = "" if args.run_folder is None else " of the whole network"
    lines = [
        _stages(path, loss),
        f"<: the smallest whose {loss} is at most {small.limit:.4g}, the lowest{of_what} and "
        f"{args.tolerance:g} standard error{'s' * (args.tolerance != 1)}",
        f"{small.posterior.model.describe()} on {data.name}, λ = {settings.kl_weight:.4g}, seed "
        f"{settings.seed}: {small.weights:,} of {small.weights_before:,} weights "
        f"({100 * small.kept:.1f} %)",
        _before_and_after(small, name, before, after, sizes),
    ]
    if args.out is not None:
        lines.append(f"network in {args.out}, for {_OPENED_BY[args.out.suffix]}")
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
        "limit": small.limit,
        "parameters": _parameters(small.module),
        "part": name,
        "metrics": after,
        "before": {"metrics": before, "bytes": sizes.get("before")},
        "stages": path.to_dict("records"),
        "out": None if args.out is None else str(args.out),
        "bytes": sizes.get("after"),
        "picture": None if picture is None else str(picture),
        "encoded": encoded(args.encode, encoded_size),
    }
    return Outcome("\n".join(lines), content)


def _before_and_after(
    small: Compressed,
    part: str,
    before: dict[str, float],
    after: dict[str, float],
    sizes: dict[str, int],
) -> str:
    """The whole network and the smaller one, a row each: sizes, and figures on a part."""
    headings = [f"{part} part", "weights", "units", *after, *(["bytes"] if sizes else [])]
    rows = [headings]
    for name, net, figures in (("before", small.whole, before), ("after", small.module, after)):
        cells = [f"{weight_count(net):,}", _units(net), *map(number, figures.values())]
        rows.append([name, *cells, *([f"{sizes[name]:,}"] if sizes else [])])
    return table(rows)


def _bytes_of_whole(path: Path, small: Compressed, data: DataSet) -> int:
    """What a file of the same kind takes for the network before."""
    model = small.posterior.model
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder, f"whole{path.suffix}")
        net = in_data_units(small.whole, small.data, model)
        metadata = metadata_of(model, data.info, data.train.x)
        save_net(net, other, data.train.x[:2], metadata=metadata)
        return other.stat().st_size


def _stages(path: Any, loss: str) -> str:
    """Every stage, the one that is taken marked; of a run, what each KL weight comes to."""
    of_a_run = "kl_weight" in path
    names = ["kl_weight", "weights", "nonzero"] if of_a_run else ["weights", "parameters"]
    rows = [[*(("λ" if name == "kl_weight" else name) for name in names), loss, ""]]
    for row in path.to_dict("records"):
        cells = [f"{row[n]:.4g}" if n == "kl_weight" else f"{row[n]:,}" for n in names]
        measured = f"{row['loss']:.4g} ± {row['loss_error']:.2g}"
        rows.append([*cells, measured, "<" * bool(row["chosen"])])
    return table(rows)


def _units(net: nn.Module) -> str:
    """Units, or channels, of every layer, from the inputs that are read on."""
    return "–".join(map(str, layer_sizes(net)))


def _parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())
