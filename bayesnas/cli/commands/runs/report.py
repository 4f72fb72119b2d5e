"""``bayesnas report``: the numbers of a run, and one picture or one page of HTML."""

from __future__ import annotations

import argparse
import shlex
import textwrap
from dataclasses import asdict
from pathlib import Path

from bayesnas.cli.arguments.shared import run_option_words
from bayesnas.cli.loading import open_fitted, open_run
from bayesnas.cli.metrics import metrics_table
from bayesnas.cli.output import Outcome, number
from bayesnas.report.figure import Findings, caption, check_picture_path, write_report
from bayesnas.report.page.page import Page, check_page_path, write_html
from bayesnas.report.tables import table

_SHOWN = (0.0, 0.5, 0.8, 0.9, 0.95)  # fractions removed, of the table


def run(args: argparse.Namespace) -> Outcome:
    """Measure, draw and print."""
    if args.html:
        return _run_html(args)
    if args.out is not None:
        check_picture_path(args.out)
    post, data = open_run(args)
    path = args.run_folder / "report.png" if args.out is None else args.out
    findings = write_report(post, data, path, draws=args.draws)
    content = {"caption": caption(findings), **findings.to_dict(), "picture": str(path)}
    return Outcome(_text(findings, path), content)


def _run_html(args: argparse.Namespace) -> Outcome:
    path = args.run_folder / "report.html" if args.out is None else args.out
    if args.out is not None:
        check_page_path(path)
    post, data = open_fitted(args)
    words = ["bayesnas", "report", str(args.run_folder), "--html", "--out", str(path)]
    command = shlex.join([*words, *run_option_words(args)])
    page = write_html(post, data, path, draws=args.draws, kl_weight=args.kl_weight, command=command)
    content = {
        "caption": caption(page.findings),
        **page.findings.to_dict(),
        "warnings": [asdict(remark) for remark in page.remarks],
        "pareto_k": page.checks.pareto_k,
        "page": str(path),
    }
    return Outcome(f"{_warnings(page)}\n\npage: {path}", content)


def _warnings(page: Page) -> str:
    lines = [textwrap.fill(caption(page.findings), 96)]
    for remark in page.remarks:
        text = f"warning: {remark.name}. {remark.text} {remark.advice}"
        lines.append(textwrap.fill(text, 96, subsequent_indent="  "))
    return "\n\n".join(lines)


def _text(findings: Findings, path: Path) -> str:
    blocks = [
        textwrap.fill(caption(findings), 96),
        metrics_table(findings.post, findings.metrics),
        table(_complexity_rows(findings)),
    ]
    if findings.pruning is not None:
        blocks.append(_pruning_table(findings))
    if findings.latents is not None:
        counts = ", ".join(f"{count} by {by}" for by, count in findings.latents.active.items())
        blocks.append(
            f"latent dimensions in use, of {len(findings.latents.measures.latent)}: {counts}"
        )
    if findings.signal_to_noise:
        medians = [
            f"{layer} {layers['median']:.3g}"
            for layer, layers in findings.to_dict()["signal_to_noise"].items()
            if layers["median"] is not None
        ]
        blocks.append(f"median |mean|/sd of the weights kept: {', '.join(medians)}")
    blocks.append(f"picture: {path}")
    return "\n\n".join(blocks)


def _complexity_rows(findings: Findings) -> list[list[str]]:
    """Name and value; no counts of weights for a model that has none with a posterior."""
    weights = findings.complexity["parameters"] > 0
    return [
        [name, number(value)]
        for name, value in findings.complexity.items()
        if weights or not name.startswith("parameters")
    ]


def _pruning_table(findings: Findings) -> str:
    curve = findings.pruning
    assert curve is not None
    metric = "accuracy" if "accuracy" in curve else "rmse"
    rows = [["weights removed", *(f"{100 * f:g} %" for f in _SHOWN)]]
    rows += [
        [
            f"{findings.part} {metric}, by {by}",
            *(number(float(curve[metric].sel(by=by, fraction=f))) for f in _SHOWN),
        ]
        for by in curve["by"].values
    ]
    return table(rows)
