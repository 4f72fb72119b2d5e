"""What was fitted on what, as names and values."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from typing import Any

from bayesnas.inference import Posterior
from bayesnas.models.registry import zoo_record
from bayesnas.report.findings import Findings, latents_in_use, steps_taken, target_scale
from bayesnas.report.tables import epochs_text

_LIBRARIES = ("bayesnas", "torch", "pyro-ppl")
_LONGEST = 300  # characters of the arguments of a model


def facts_of(findings: Findings, kl_weights: str) -> list[tuple[str, str]]:
    """Model, data, sizes, settings, seed and versions.

    Args:
        findings: of the fit.
        kl_weights: the λ of the fit behind it, as text.
    """
    post, settings, data = findings.post, findings.post.settings, findings.post.data
    steps, batch = steps_taken(post), min(settings.batch_size, data.n)
    facts = [
        ("Model", post.model.describe()),
        ("Reference", _reference(post)),
        ("Arguments of the model", _arguments(post)),
        ("Data", f"{data.name}, {_task(post)}"),
        ("Examples", ", ".join(f"{size:,} {part}" for part, size in findings.sizes.items())),
        ("Classes", "" if data.classes is None else _classes(post)),
        ("Features", "" if data.feature_names is None else f"{len(data.feature_names)}, named"),
        ("Standardised", _standardised(post)),
        ("KL weight λ", f"{settings.kl_weight:g}{_of(kl_weights, settings.kl_weight)}"),
        ("KL warm-up", "" if not settings.kl_warmup else f"{100 * settings.kl_warmup:g} %"),
        (
            "Steps",
            f"{steps:,} of {settings.steps:,}, {batch:,} examples each "
            f"({epochs_text(steps, batch, data.n)} epochs)",
        ),
        (
            "Optimiser",
            f"{settings.optimizer}, learning rate {settings.lr:g} ({settings.schedule})",
        ),
        ("Starts", _starts(post)),
        ("Seed", str(settings.seed)),
        ("Weights drawn for the figures", str(findings.draws or "none, posterior means")),
        ("Versions", _versions()),
    ]
    return [(name, value) for name, value in facts if value]


def tiles_of(findings: Findings) -> list[tuple[str, str]]:
    """The few figures that are looked at first: name and value."""
    metrics, part = findings.metrics[findings.part], findings.part
    total, kept = (int(findings.complexity[name]) for name in ("parameters", "parameters_kept"))
    tiles = []
    if "accuracy" in metrics:
        tiles.append((f"{part} accuracy", f"{100 * metrics['accuracy']:.1f} %"))
    if "rmse" in metrics:
        scale = target_scale(findings.post)
        words = "" if scale is None else ", not standardised"
        tiles.append((f"{part} rmse{words}", f"{(scale or 1.0) * metrics['rmse']:.3g}"))
    tiles.append((f"{part} NLL, nats an example", f"{metrics['nll']:.3g}"))
    if "ece" in metrics:
        tiles.append((f"{part} calibration error", f"{metrics['ece']:.3f}"))
    latents = latents_in_use(findings)
    if latents is not None:
        tiles.append(("latent dimensions in use", f"{latents[1]} of {latents[0]}"))
    if total:
        tiles.append(("weights kept", f"{kept:,} of {total:,}"))
    return tiles


def _of(kl_weights: str, kl_weight: float | None) -> str:
    return "" if kl_weights == f"{kl_weight:g}" else f", of a fit over {kl_weights}"


def _reference(post: Posterior) -> str:
    try:
        record = zoo_record(type(post.model).__name__)
    except ValueError:
        return ""
    return f"{record.title} ({record.reference})"


def _arguments(post: Posterior) -> str:
    try:
        config = post.run.model.config()
    except TypeError:
        return "no description: an object of Python"
    shown = {n: value for n, value in config.items() if n != "net" and value not in (None, {}, [])}
    text = ", ".join(f"{name} {_plain(value)}" for name, value in shown.items())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def _classes(post: Posterior) -> str:
    names = post.data.class_names
    listed = "" if names is None else f": {', '.join(names[:12])}{'…' if len(names) > 12 else ''}"
    return f"{post.data.classes}{listed}"


def _standardised(post: Posterior) -> str:
    scales = post.data.standardisation
    if scales is None:
        return ""
    return "inputs" if scales.y_scale is None else "inputs and target"


def _task(post: Posterior) -> str:
    is_autoencoder = post.model.reconstructs
    return "inputs as their own targets" if is_autoencoder else post.data.task


def _starts(post: Posterior) -> str:
    if post.chains == 1:
        return "1, so that figures have no spread over starts; with restarts=3 they have"
    return f"{post.chains}, of which number {post.best} is shown, with the highest bound"


def _versions() -> str:
    named = [f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES]
    return ", ".join([*named, f"Python {platform.python_version()}"])
