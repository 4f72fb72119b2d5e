"""``bayesnas prune``: remove weights of a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bayesnas.cli.loading import open_run
from bayesnas.cli.metrics import metrics_table
from bayesnas.cli.output import Outcome, encoded
from bayesnas.coding.encoding import check_new, encode
from bayesnas.data import Split
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.inference.runs.run_folder import RUN
from bayesnas.models.compression.grouped_weights import GroupedWeights
from bayesnas.nn.network_files.save import check_net_path
from bayesnas.pruning.criteria.keep_masks import check_amount
from bayesnas.pruning.criteria.registry import RULES
from bayesnas.report.findings import judged_part


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
        training=data.train if isinstance(data.train, Split) else None,
        seed=args.seed,
    )
    if args.out is not None:
        pruned.save(args.out)
    compacted = None if args.compact is None else _write_compact(args.compact, pruned)
    size = None if args.encode is None else encode(pruned.compact(standardise=True), args.encode)
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


def _write_compact(path: Path, post: Posterior) -> dict[str, Any]:
    post.export(path)
    return {"path": str(path), "parameters": sum(p.numel() for p in post.compact().parameters())}
