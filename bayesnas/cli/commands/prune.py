"""``bayesnas prune``: remove weights of a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from bayesnas.cli.options import add_encode_option, encoded, path_word
from bayesnas.cli.output import Outcome, metrics_table
from bayesnas.cli.stored_run import add_kl_weight_option, add_run_options, open_run
from bayesnas.coding.encoding import check_new, encode
from bayesnas.data import DataSet
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.inference.runs.run_folder import RUN
from bayesnas.models.compression.grouped_weights import GroupedWeights
from bayesnas.nn.graphs.module_file import check_net_path, save_net
from bayesnas.pruning.criteria.keep_masks import check_amount
from bayesnas.pruning.criteria.registry import RULES
from bayesnas.report.findings import judged_part

_DESCRIPTION = """
Remove weights of a fitted run, those with the largest posterior density at zero first, or whole
groups of them, and print the metrics before and after. The run itself stays as it is.
"""
_EPILOG = "criteria:\n" + "\n".join(f"  {name:<11}{rule.title}" for name, rule in RULES.items())


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "prune",
        help="remove weights of a run",
        description=_DESCRIPTION.strip(),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
        choices=(*RULES, "group"),
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
        ".safetensors (read by bayesnas.nn.load_net) or .pt2 (by torch.export.load)",
    )
    add_encode_option(parser)
    add_kl_weight_option(parser)
    add_run_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Outcome:
    """Prune, save what is asked for, and compare."""
    if args.by not in RULES or RULES[args.by].threshold is None:
        check_amount(args.fraction, args.threshold)
    if args.compact is not None:
        check_net_path(args.compact, "compact")
    if args.encode is not None:
        check_new(args.encode, "encode")
    if args.out is not None and (args.out / RUN).exists():
        raise FileExistsError(f"out: {args.out} holds another run; give a new folder")
    post, data = open_run(args)
    if not post.model.weight_posteriors():
        raise ValueError(f"the {post.model.describe()} in {args.run_folder} has no weights")
    if args.by == "group" and not isinstance(post.model, GroupedWeights):
        raise ValueError(f"by: the {post.model.describe()} in {args.run_folder} has no groups")
    pruned = post.prune(
        fraction=args.fraction,
        threshold=args.threshold,
        by=args.by,
        groups=args.groups,
        biases=not args.keep_biases,
        training=data.train,
        seed=args.seed,
    )
    if args.out is not None:
        pruned.save(args.out)
    compacted = None if args.compact is None else _write_compact(args.compact, pruned, data)
    size = None if args.encode is None else encode(pruned.compact(), args.encode)
    name, part = judged_part(data)
    metrics = {
        "before": post.evaluate(part, draws=args.draws),
        "after": pruned.evaluate(part, draws=args.draws),
    }
    weights = {when: _weights(p) for when, p in (("before", post), ("after", pruned))}
    kept, total = weights["after"]["kept"], weights["after"]["parameters"]
    lines = [
        f"{pruned.model.describe()}: {kept:,} of {total:,} weights kept "
        f"({100 * kept / total:.3g} %), {name} part:",
        metrics_table(post, metrics),
    ]
    if args.out is not None:
        lines.append(f"pruned run saved in {args.out}")
    if compacted is not None:
        lines.append(f"compact network of {compacted['parameters']:,} weights in {args.compact}")
    if size is not None:
        lines.append(f"compact network in {size:,} bytes, {args.encode}")
    content: dict[str, Any] = {
        "run": str(args.run_folder),
        "part": name,
        "draws": args.draws,
        "metrics": metrics,
        "weights": weights,
        "out": None if args.out is None else str(args.out),
        "compact": compacted,
        "encoded": encoded(args.encode, size),
    }
    return Outcome("\n".join(lines), content)


def _weights(post: Posterior) -> dict[str, int]:
    masks = post.model.keep_masks().values()
    return {
        "parameters": sum(mask.numel() for mask in masks),
        "kept": sum(int(mask.sum()) for mask in masks),
    }


def _write_compact(path: Path, post: Posterior, data: DataSet) -> dict[str, Any]:
    net = post.compact()
    example = data.train.x[:2]
    # Two rows make the number of rows free in a .pt2; a sample of one is doubled.
    save_net(net, path, example if len(example) == 2 else torch.cat([example, example]))
    return {"path": str(path), "parameters": sum(p.numel() for p in net.parameters())}
