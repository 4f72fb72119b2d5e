"""``bayesnas predict``: targets of new rows."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

import bayesnas as bn
from bayesnas.checks import draw_count, fraction_in, seed_number
from bayesnas.cli.loading import at_kl_weight
from bayesnas.cli.output import Outcome
from bayesnas.data import StreamedSplit
from bayesnas.data.streams.file_rows import FileRows
from bayesnas.files import write_new
from bayesnas.inference import Posterior
from bayesnas.report.tables import rows_as_csv

Array = npt.NDArray[Any]


def run(args: argparse.Namespace) -> Outcome:
    """Predict, and print or write."""
    draw_count("draws", args.draws, 1)
    fraction_in("level", args.level, "(0, 1)")
    seed_number("seed", args.seed)
    post = at_kl_weight(bn.load(args.run_folder, device=args.device), args)
    if post.model.reconstructs:
        raise ValueError(
            f"RUN must predict targets, got the {post.model.describe()} in {args.run_folder}"
        )
    x = _rows(args.data, post)
    classification = post.data.task == "classification"
    predictions = _classes(post, x, args) if classification else _numbers(post, x, args)
    columns = _columns(predictions)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    content: dict[str, Any] = {
        "run": str(args.run_folder),
        "data": str(args.data),
        "kl_weight": post.kl_weight,
        "draws": args.draws,
        "level": None if classification else args.level,
        "predictions": rows,
        "out": None if args.out is None else str(args.out),
    }
    if args.out is None:
        return Outcome(rows_as_csv(rows).rstrip("\n"), content)
    _write(args.out, predictions, rows)
    return Outcome(f"predictions of {len(rows):,} rows in {args.out}", content)


def _rows(path: Path, post: Posterior) -> Tensor | StreamedSplit:
    """Inputs of a file; of an .npy file that can be taken as it is, read when they are needed."""
    plain = post.data.standardisation is None and post.data.encoding is None
    if path.suffix != ".npy" or not plain:
        return bn.data.read_rows(path, post.data)[0]
    rows, like = FileRows(path), post.example[1]
    unknown = like.new_zeros(1).expand(len(rows), *like.shape[1:]).cpu()
    task, classes = post.data.task, post.data.classes
    classes = None if task == "regression" or like.ndim > 1 else classes
    return bn.data.from_dataset((path, unknown), task=task, classes=classes)


def _numbers(post: Posterior, x: Any, args: argparse.Namespace) -> dict[str, Array]:
    """Mean, standard deviation and interval, ``[n]`` or ``[n, k]``, in the units of the targets."""
    mean, scale = post.moments(x, args.draws, seed=args.seed)
    lower, upper = post.interval(x, args.level, draws=args.draws, seed=args.seed)
    units = post.data.standardisation
    if units is not None:
        mean, lower, upper = (units.invert_y(value) for value in (mean, lower, upper))
        if units.y_scale is not None:
            scale = scale * scale.new_tensor(units.y_scale)
    columns = {"mean": mean, "sd": scale, "lower": lower, "upper": upper}
    return {name: value.cpu().numpy() for name, value in columns.items()}


def _classes(post: Posterior, x: Any, args: argparse.Namespace) -> dict[str, Array]:
    """Label ``[n]`` and probabilities ``[n, classes]``; of several labels a row ``[n, k]`` each."""
    probabilities = post.predict(x, args.draws, seed=args.seed).mean(0).cpu().numpy()
    if post.example[1].ndim > 1:
        return {"label": (probabilities > 0.5).astype(np.int64), "probability": probabilities}
    if probabilities.ndim == 1:
        probabilities = np.stack([1 - probabilities, probabilities], 1)
    names = post.data.class_names or tuple(map(str, range(probabilities.shape[1])))
    classes = np.array(names)
    return {
        "label": classes[probabilities.argmax(1)],
        "probability": probabilities,
        "classes": classes,
    }


def _columns(arrays: dict[str, Array]) -> dict[str, list[Any]]:
    """One list a column: of tables, a column each, with the class or the place in its name."""
    columns: dict[str, list[Any]] = {}
    for name, values in arrays.items():
        if name == "classes":
            continue
        if values.ndim == 1:
            columns[name] = _plain(values)
            continue
        ends = arrays["classes"] if "classes" in arrays else range(values[0].size)
        for end, column in zip(ends, values.reshape(len(values), -1).T, strict=True):
            columns[f"{name}_{end}"] = _plain(column)
    return columns


def _plain(values: Array) -> list[Any]:
    """As many digits as single precision has."""
    plain = list(values.tolist())
    return [float(f"{value:.7g}") for value in plain] if values.dtype.kind == "f" else plain


def _write(path: Path, arrays: dict[str, Array], rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".csv":
        write_new(path, rows_as_csv(rows).encode())
        return
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    write_new(path, stream.getvalue())
