"""The report of a fit: its numbers, and one picture with a caption that says what it shows."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import bayesnas as bn
from bayesnas import plots
from bayesnas.data import DataSet
from bayesnas.files import check_place, write_atomically
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.plots.axes import STYLE
from bayesnas.plots.structure.latents import plot_relevance, plot_traversals
from bayesnas.report.findings import (
    LEVEL,
    Array,
    Findings,
    measure,
    range_of_fit,
    steps_taken,
    target_scale,
)
from bayesnas.report.latent_findings import Latents
from bayesnas.report.tables import epochs_text
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Findings",
    "caption",
    "check_picture_path",
    "measure",
    "report_figure",
    "write_figure",
    "write_report",
]

SUFFIXES = (".png", ".pdf", ".svg")

_SIZE = (9.6, 7.4)  # inches
_CAPTION_WIDTH = 138  # characters


def caption(findings: Findings) -> str:
    """What was fitted on what, and how well it does, in a few sentences."""
    post, settings = findings.post, findings.post.settings
    steps = steps_taken(post)
    batch = min(settings.batch_size, post.data.n)
    epochs = epochs_text(steps, batch, post.data.n)
    metrics = findings.metrics[findings.part]
    sizes = [f"{count:,} {_adjective(part)}" for part, count in findings.sizes.items()]
    sentences = [
        f"{post.model.describe()}{_prior(post)} fitted to {post.data.name} "
        f"({_listed(sizes)} examples{_classes(post)}) at KL weight λ = {settings.kl_weight:g}"
        f"{_fitted_range(post)}.",
        f"{settings.optimizer}, {steps:,} steps of {batch:,} examples ({epochs} epochs), "
        f"learning rate {settings.lr:g} ({settings.schedule}), seed {settings.seed}"
        f"{_starts(post)}.",
        f"{_adjective(findings.part).capitalize()} {_judged(post, metrics)} "
        f"({_drawn(findings.draws)}); on the training sample the bound is "
        f"{findings.metrics['train']['elbo']:,.0f} nats, its KL "
        f"{findings.complexity['kl_nats']:,.0f}.",
    ]
    total, kept = findings.complexity["parameters"], findings.complexity["parameters_kept"]
    if kept < total:
        sentences.append(f"{100 * (1 - kept / total):.3g} % of {total:,.0f} weights are removed.")
    text = " ".join([*sentences, f"bayesnas {bn.__version__}."])
    return text.replace(" %", "\N{NO-BREAK SPACE}%").replace(" -", " \N{MINUS SIGN}")


@typed()
def report_figure(findings: Findings) -> Figure:
    """One figure: loss and KL, pruning, calibration, signal-to-noise, and the caption.

    The figure belongs to no window and no ``pyplot`` state; ``figure.savefig(path)`` writes it.

    Raises:
        TypeError: for what are no findings.

    >>> import bayesnas as bn
    >>> data = bn.data.load("digits")
    >>> model = bn.models.GaussianNet(bn.nn.mlp([64, 10]))
    >>> post = bn.fit(model, data.train, steps=5, progress=False)
    >>> figure = bn.report.report_figure(bn.report.measure(post, data, draws=2))
    >>> len(figure.axes) >= 4
    True
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        panels = panels_of(findings)
        rows = -(-len(panels) // 2)
        text = "\n".join(textwrap.wrap(caption(findings), _CAPTION_WIDTH))
        height = _SIZE[1] * rows / 2 + 0.4
        below = (0.19 * (text.count("\n") + 1) + 0.16) / height
        figure = Figure(figsize=(_SIZE[0], height))
        figure.set_layout_engine(
            "constrained", rect=(0.01, below, 0.98, 1 - below - 0.01), hspace=0.06, wspace=0.05
        )
        axes = figure.subplots(rows, 2, squeeze=False).ravel()
        for ax, letter, (title, draw) in zip(axes, "abcd", panels, strict=False):
            draw(ax)
            ax.set_title(f"{letter}  {title}")
        for ax in axes[len(panels) :]:
            ax.remove()
        figure.text(0.02, below - 0.04 / height, text, va="top", fontsize=9, linespacing=1.35)
        # Sizes and positions are settled under our style, not under the one at saving.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


@typed()
def write_report(post: Posterior, data: DataSet, path: str | Path, *, draws: int = 32) -> Findings:
    """Measure, draw and write a report; a picture that is there is replaced in one step.

    Args:
        post: a fitted posterior.
        data: what it was fitted on, in parts.
        path: of the picture, ending in ``.png``, ``.pdf`` or ``.svg``.
        draws: draws of the weights for the metrics; 0: posterior means.

    Returns:
        The numbers.

    Raises:
        ValueError: another ending.
        FileNotFoundError: there is no such folder.
        OSError: the picture can't be written.

    >>> import tempfile, bayesnas as bn
    >>> data = bn.data.load("digits")
    >>> model = bn.models.GaussianNet(bn.nn.mlp([64, 10]))
    >>> post = bn.fit(model, data.train, steps=5, progress=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     findings = bn.report.write_report(post, data, f"{folder}/report.png", draws=2)
    >>> sorted(findings.metrics)
    ['test', 'train']
    """
    target = check_picture_path(path)
    findings = measure(post, data, draws=draws)
    write_figure(report_figure(findings), target)
    return findings


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format that its path ends in, whole or not at all.

    Raises:
        OSError: it can't be written.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format=path.suffix[1:], dpi=200)
    write_atomically(path, stream.getvalue())


def check_picture_path(path: str | Path, name: str = "out") -> Path:
    """The path, if a picture can be written there.

    Args:
        path: of the picture.
        name: of the argument.

    Raises:
        ValueError: it ends in none of ``.png``, ``.pdf`` and ``.svg``.
        FileNotFoundError: its folder is not there.
        IsADirectoryError: it is a folder.
    """
    target = check_place(name, Path(path), SUFFIXES)
    if target.is_dir():
        raise IsADirectoryError(f"{name} must be a file, got the folder {target}")
    return target


def panels_of(findings: Findings) -> list[tuple[str, Callable[[Axes], object]]]:
    """Title and drawing of every panel that a fit has."""
    panels: list[tuple[str, Callable[[Axes], object]]] = [
        ("Loss and KL", lambda ax: plots.plot_history(findings.history, ax))
    ]
    curve = findings.pruning
    if curve is not None:
        panels.append(
            (f"Pruning, {findings.part} part", lambda ax: _pruning_panel(findings.post, curve, ax))
        )
    title = f"Calibration, {findings.part} part"
    bins, rows = findings.calibration, findings.predictions
    if bins is not None:
        n = findings.sizes[findings.part]
        panels.append((title, lambda ax: _calibration_panel(bins, n, ax)))
    if rows is not None:
        panels.append((title, lambda ax: _predictions_panel(rows, ax)))
    ratios = findings.signal_to_noise
    if findings.latents is not None:
        panels += _latent_panels(findings.latents)
    if sum(map(len, ratios.values())):
        panels.append(
            ("Signal-to-noise of the weights", lambda ax: plots.plot_signal_to_noise(ratios, ax))
        )
    return panels


def _latent_panels(latents: Latents) -> list[tuple[str, Callable[[Axes], object]]]:
    panels: list[tuple[str, Callable[[Axes], object]]] = [
        ("Dimensions by relevance", lambda ax: plot_relevance(latents.measures, ax))
    ]
    frames = latents.frames
    if frames is not None:
        panels.append(
            ("One dimension moves", lambda ax: plot_traversals(latents.shown, frames, ax))
        )
    return panels


def _pruning_panel(post: Posterior, curve: xr.Dataset, ax: Axes) -> None:
    plots.plot_pruning_curve(curve, ax)
    if target_scale(post) is not None:
        ax.set_ylabel("standardised rmse of the means")


def _calibration_panel(bins: Array, examples: int, ax: Axes) -> None:
    confidence, accuracy, share = bins
    plots.plot_calibration(confidence, accuracy, share, ax, examples=examples)


def _predictions_panel(rows: Array, ax: Axes) -> None:
    predicted, observed, low, high = rows
    plots.plot_predictions(predicted, observed, low, high, ax, level=LEVEL)


def _adjective(part: str) -> str:
    return {"train": "training"}.get(part, part)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _classes(post: Posterior) -> str:
    return "" if post.data.classes is None else f", {post.data.classes} classes"


def _fitted_range(post: Posterior) -> str:
    ends = range_of_fit(post)
    return "" if ends is None else f", of one fit over λ = {ends[0]:g}…{ends[1]:g}"


def _starts(post: Posterior) -> str:
    return "" if post.chains == 1 else f", best of {post.chains} starts"


def _drawn(draws: int) -> str:
    return f"over {draws} draws" if draws else "at the posterior means"


def _judged(post: Posterior, metrics: dict[str, float]) -> str:
    words = []
    if "accuracy" in metrics:
        words.append(f"accuracy {100 * metrics['accuracy']:.1f} %")
    if "rmse" in metrics:
        scale = target_scale(post)
        in_units = "" if scale is None else f"{scale * metrics['rmse']:.3g}, standardised "
        words.append(f"rmse {in_units}{metrics['rmse']:.3g}")
    words.append(f"NLL {metrics['nll']:.3g} nats an example")
    if "ece" in metrics:
        words.append(f"ECE {metrics['ece']:.3f}")
    return ", ".join(words)


def _prior(post: Posterior) -> str:
    """Prior scale of a model that describes it."""
    try:
        scale = post.run.model.config().get("prior_scale")
    except TypeError:
        return ""
    if isinstance(scale, list):
        return f" (prior scales {', '.join(f'{s:g}' for s in scale)})"
    if isinstance(scale, str):
        return f" ({scale} prior scales)"
    return "" if scale is None else f" (prior scale {scale:g})"
