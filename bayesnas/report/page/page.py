"""One self-contained page of HTML: what a fit is, what it found, and how far to trust it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bayesnas.checks import draw_count
from bayesnas.data import DataSet
from bayesnas.files import check_place, path_of, write_atomically
from bayesnas.inference import Posterior, Posteriors
from bayesnas.inference.posterior.kl_weights.kl_path import KLWeightPath
from bayesnas.report.figure import caption
from bayesnas.report.findings import Findings, measure
from bayesnas.report.frontier_findings import kl_weight_grid, measure_frontier, rows_of
from bayesnas.report.page.checks import FitChecks, check_fit
from bayesnas.report.page.facts import facts_of, tiles_of
from bayesnas.report.page.metric_rows import MetricRow, metric_rows
from bayesnas.report.page.pictures import Picture, frontier_pictures, pictures_of
from bayesnas.report.page.remarks import Remark, measured_lines, remarks_on
from bayesnas.report.page.sizes import Sizes, sizes_of
from bayesnas.report.page.structure_tables import (
    StructureMatrix,
    StructureTable,
    quantity_of,
    structure_tables,
)
from bayesnas.report.page.template import html_of
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

_SUFFIXES = (".html",)


@dataclass(frozen=True)
class Page:
    """What stands on a page.

    Attributes:
        findings: the numbers of the report.
        choice: how λ was chosen; empty for a fit at one.
        facts: what was fitted on what, name and value.
        remarks: warnings, the gravest first.
        checks: what they are made of.
        parts: names of the parts of the data.
        metrics: a row for every metric, with a value for each part.
        frontier: what the fit is worth along λ; None for a fit at one.
        structure: tables of what the posterior says of the structure.
        quantity: what their values are.
        sizes: before and after pruning; None for a model without weights that can be removed.
        pictures: every panel of the report.

    >>> import bayesnas as bn
    >>> data = bn.data.load("diabetes", standardise=True)
    >>> post = bn.fit(bn.models.ArdRegression(10), data.train, steps=100, lr=0.03, progress=False)
    >>> page = bn.report.measure_page(post, data, draws=2)
    >>> page.structure[0].rows[0].label, page.parts
    ('bmi', ['train', 'test'])
    """

    findings: Findings
    choice: str
    facts: list[tuple[str, str]]
    remarks: list[Remark]
    checks: FitChecks
    parts: list[str]
    metrics: list[MetricRow]
    frontier: xr.Dataset | None
    structure: list[StructureTable | StructureMatrix]
    quantity: str
    sizes: Sizes | None
    pictures: list[Picture]

    def html(self, command: str) -> str:
        """The page as text.

        Args:
            command: that makes it again, to stand at its end.
        """
        frontier = self.frontier
        return html_of(
            page=self,
            post=self.findings.post,
            caption=caption(self.findings),
            command=command,
            measured=measured_lines(self.checks),
            tiles=tiles_of(self.findings),
            along=[] if frontier is None else rows_of(frontier),
            along_pictures=[] if frontier is None else frontier_pictures(frontier),
        )


@typed(unchecked=("post", "data"))
def measure_page(
    post: Posterior | KLWeightPath,
    data: DataSet,
    *,
    draws: int = 32,
    kl_weight: float | None = None,
) -> Page:
    """Measure what a page shows; arguments of :func:`write_html`.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: for a negative number of draws, or data that don't fit the model.

    >>> import bayesnas as bn
    >>> data = bn.data.load("diabetes", standardise=True)
    >>> post = bn.fit(bn.models.ArdRegression(10), data.train, steps=100, lr=0.03, progress=False)
    >>> [remark.name for remark in measure_page(post, data, draws=2).remarks]
    []
    """
    draws = draw_count("draws", draws, 0)
    frontier, span, choice = None, None, ""
    kl_weights = post.settings.kl_weight_text()
    if isinstance(post, KLWeightPath):
        grid = list(post.kl_weights) if isinstance(post, Posteriors) else kl_weight_grid(post)
        kl_weight, choice = _chosen(post, data, grid, kl_weight, draws)
        at = post.at(kl_weight)
        frontier = measure_frontier((post.at(each) for each in grid), data, draws=draws)
        span, post = (min(grid), max(grid)), at
    elif kl_weight is not None and kl_weight != post.kl_weight:
        raise ValueError(
            f"kl_weight must be {post.kl_weight:g}, that of the fit, or left out, got {kl_weight:g}"
        )
    findings = measure(post, data, draws=draws)
    sizes = sizes_of(post, data)
    checks = check_fit(findings, data, span, 0 if sizes is None else sizes.superfluous)
    parts, metrics = metric_rows(findings, data)
    return Page(
        findings=findings,
        choice=choice,
        facts=facts_of(findings, kl_weights),
        remarks=remarks_on(checks),
        checks=checks,
        parts=parts,
        metrics=metrics,
        frontier=frontier,
        structure=structure_tables(post),
        quantity=quantity_of(post),
        sizes=sizes,
        pictures=pictures_of(findings),
    )


@typed(unchecked=("post", "data"))
def write_html(
    post: Posterior | KLWeightPath,
    data: DataSet,
    path: str | Path,
    *,
    draws: int = 32,
    kl_weight: float | None = None,
    command: str | None = None,
) -> Page:
    """Measure a fit and write one page of HTML that needs no network.

    It says what was fitted on what, warns in plain words, and shows metrics of every part of the
    data (with their spread over restarts), the structure by name, sizes before and after pruning,
    and the panels of :func:`report_figure`. The same fit gives the same page.

    Args:
        post: a fitted posterior, or one at many KL weights, of which the page shows one and what
            all are worth.
        data: what it was fitted on, in parts.
        path: of the page, ending in ``.html``; one that is there is replaced in one step.
        draws: draws of the weights for the metrics; 0: posterior means.
        kl_weight: which λ of a fit at many; None: that with the lowest NLL on the validation part,
            or, without one, the one nearest 1, that of the Bayesian posterior.
        command: that makes the page again, to stand at its end; None: this call.

    Returns:
        what stands on it.

    Raises:
        ValueError: another ending, or a λ that was not fitted.
        FileNotFoundError: there is no such folder.
        IsADirectoryError: the path is a folder.
        OSError: the page can't be written.

    >>> import tempfile, bayesnas as bn
    >>> data = bn.data.load("diabetes", standardise=True)
    >>> post = bn.fit(bn.models.ArdRegression(10), data.train, steps=100, lr=0.03, progress=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = bn.report.write_html(post, data, f"{folder}/report.html", draws=2)
    >>> [row.name for row in page.metrics][:2]
    ['rmse', 'nll']
    """
    target = check_page_path(path, "path")
    page = measure_page(post, data, draws=draws, kl_weight=kl_weight)
    if command is None:
        at = "" if kl_weight is None else f", kl_weight={kl_weight!r}"
        command = f"bn.report.write_html(post, data, {str(path)!r}, draws={draws}{at})"
    write_atomically(target, page.html(command).encode())
    return page


def check_page_path(path: str | Path, name: str = "out") -> Path:
    """The path, if a page can be written there.

    Raises:
        ValueError: it does not end in ``.html``.
        FileNotFoundError: its folder is not there.
        IsADirectoryError: it is a folder.
    """
    target = check_place(name, path_of(name, path), _SUFFIXES)
    if target.is_dir():
        raise IsADirectoryError(f"{name} must be a file, got the folder {target}")
    return target


def _chosen(
    post: KLWeightPath, data: DataSet, grid: list[float], kl_weight: float | None, draws: int
) -> tuple[float, str]:
    """λ of the page, and how it was chosen."""
    if kl_weight is not None:
        return kl_weight, "named by whoever made this page"
    if data.validation is not None:
        losses = [post.at(each).evaluate(data.validation, draws=draws)["nll"] for each in grid]
        best = losses.index(min(losses))
        return grid[best], f"the lowest NLL on the validation part, of {len(grid)} values"
    positive = [each for each in grid if each > 0] or grid
    nearest = min(positive, key=lambda each: abs(math.log(each)) if each > 0 else math.inf)
    return nearest, "the one measured nearest 1, that of the Bayesian posterior"
