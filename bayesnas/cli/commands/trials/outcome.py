"""Run a study of fits, write its table and plots, and say what came out."""

from __future__ import annotations

import argparse
import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import bayesnas as bn
from bayesnas.checks import draw_count
from bayesnas.cli.commands.trials.fit_trial import FitTrial, is_edge, space_of
from bayesnas.cli.errors import INTERRUPTED, in_option_words
from bayesnas.cli.output import Outcome, note, number
from bayesnas.files import write_atomically
from bayesnas.inference.search import (
    InterruptedSearchWarning,
    Latency,
    Real,
    SearchResult,
    SearchSpace,
    SearchTrial,
)
from bayesnas.inference.search.conditions import Value
from bayesnas.inference.search.judges.fits import folder_name
from bayesnas.inference.search.trials.result import result_of
from bayesnas.inference.search.trials.storage import Storage
from bayesnas.inference.search.trials.study import open_study
from bayesnas.inference.search.variables import Variable
from bayesnas.report.figure import write_figure
from bayesnas.report.tables import table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = 10  # rows of the best trials
_RUNS = "runs"
PLOTS = ("front", "hypervolume", "history", "importance", "parallel")
_OF_SEVERAL = ("front", "hypervolume")  # objectives


def run_study(args: argparse.Namespace, name: str) -> Outcome:
    """Make the trials of a command, and give its outcome.

    Args:
        args: of the command.
        name: of the command, and of its study.
    """
    trial = FitTrial(
        tuple(args.fit),
        args.out / _RUNS,
        args.part,
        draw_count("draws", args.draws),
        args.graph,
        Latency() if "latency" in args.objective else None,
    )
    space = space_of(args.vary, args.graph)
    first = {name: _first_value(variable) for name, variable in space.items()}
    trial.arguments(first)  # refuses words that no fit takes before a folder is made
    with _folder(args.out):
        try:
            result = _searched(args, name, space, trial)
        except InterruptedSearchWarning as stop:
            note(f"bayesnas: {in_option_words(str(stop), ['resume'])}")
            result = result_of(*open_study(_storage(args), name))
            return replace(_outcome(args, name, result, trial), exit_code=INTERRUPTED)
    return _outcome(args, name, result, trial)


@contextlib.contextmanager
def _folder(out: Path) -> Iterator[None]:
    """Make a folder, and take it away again where nothing was written into it."""
    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if is_new and not any(out.iterdir()):
            out.rmdir()


def _searched(
    args: argparse.Namespace, name: str, space: SearchSpace, trial: FitTrial
) -> SearchResult:
    note(f"{name}: {_varying(space)}, trials in {_storage(args)}", args.quiet)
    return bn.search(
        space,
        trial,
        args.strategy,
        trials=args.trials,
        objectives=args.objective,
        storage=_storage(args),
        name=name,
        workers=args.workers,
        seed=args.seed,
        resume=args.resume,
        progress=not args.quiet,
    )


def _storage(args: argparse.Namespace) -> Storage:
    storage: Storage = args.out / "study.journal" if args.storage is None else args.storage
    return storage


def _first_value(variable: Variable) -> Value:
    return variable.low if isinstance(variable, Real) else (variable.values or (None,))[0]


def _varying(space: SearchSpace) -> str:
    edges = sum(map(is_edge, space))
    counts = {"operation": edges, "option": len(space) - edges}
    parts = [f"{count} {what}{'s' * (count > 1)}" for what, count in counts.items() if count]
    return f"{' and '.join(parts)} {'vary' if len(space) > 1 else 'varies'}"


def _outcome(args: argparse.Namespace, name: str, result: SearchResult, trial: FitTrial) -> Outcome:
    names = result.plan.objectives.names
    several = len(names) > 1
    files = {path.name: path for path in _written(args.out, result)} if result.complete else {}
    failed = [each for each in result.trials if each.state == "failed"]
    lines = [
        f"{name}: {len(result.complete)} of {len(result.trials)} trials complete, "
        f"{len(failed)} failed; {args.part} part"
    ]
    content: dict[str, Any] = {
        "strategy": result.plan.strategy,
        "objectives": dict(result.plan.objectives.directions),
        "part": args.part,
        "trials": [_row(args.out, each) for each in result.trials],
        "files": {key: str(path) for key, path in files.items()},
    }
    if result.complete:
        best = result.front if several else _best_first(result)
        lines.append(table(_rows(best[:_SHOWN], result)))
        if several:
            reference, volume = result.reference(), result.hypervolume()
            point = ", ".join(f"{key} {number(value)}" for key, value in reference.items())
            lines.append(f"Pareto front of {len(best)}; hypervolume {volume:.6g} below {point}")
            content |= {"front": [each.number for each in best], "hypervolume": volume}
            content["reference"] = reference
        else:
            content["best"] = best[0].number
        words = trial.command(best[0].candidate)
        lines.append(f"the best as a command: {shlex.join(words)}")
        content["command"] = words
    for each in failed[:3]:
        lines.append(f"trial {each.number} failed: {each.error}")
    lines.append("\n".join(f"{key}: {path}" for key, path in files.items()))
    return Outcome("\n".join(lines), content, exit_code=0 if result.complete else 1)


def _best_first(result: SearchResult) -> tuple[SearchTrial, ...]:
    (name,), (sign,) = result.plan.objectives.names, result.plan.objectives.signs
    return tuple(sorted(result.complete, key=lambda each: sign * each.scores[name]))


def _rows(trials: tuple[SearchTrial, ...], result: SearchResult) -> list[list[str]]:
    names = result.plan.objectives.names
    shown = [["trial", *result.plan.space, *names]]
    shown += [
        [str(each.number)]
        + [_short(each.candidate.get(name, "")) for name in result.plan.space]
        + [number(each.scores[name]) for name in names]
        for each in trials
    ]
    return shown


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _row(out: Path, each: SearchTrial) -> dict[str, Any]:
    return {
        "trial": each.number,
        "state": each.state,
        "candidate": each.candidate,
        **each.metrics,
        **each.scores,
        "seconds": each.seconds,
        "failure": each.error,
        "run": str(out / _RUNS / folder_name(each.candidate)) if each.candidate else None,
    }


def _written(out: Path, result: SearchResult) -> Iterator[Path]:
    """The table as CSV and netCDF, and the plots that the trials allow."""
    import matplotlib.pyplot as plt

    frame = result.to_frame()
    frame["run"] = [_row(out, each)["run"] for each in result.trials]
    path = out / "table.csv"
    write_atomically(path, frame.to_csv(index=False).encode())
    yield path
    path = out / "table.nc"
    dataset = result.to_xarray()
    text = [name for name in dataset if dataset[name].dtype == object]
    dataset = dataset.assign({name: dataset[name].fillna("").astype(str) for name in text})
    dataset.to_netcdf(path, engine="h5netcdf")
    yield path
    several = len(result.plan.objectives.names) > 1
    kinds = [kind for kind in PLOTS if several or kind not in _OF_SEVERAL]
    for kind in kinds if len(result.complete) > 1 else []:
        # Importances need trees over values that differ.
        with contextlib.suppress(ValueError, RuntimeError):
            figure = cast("Figure", result.plot(kind).figure)
            write_figure(figure, out / f"{kind}.png")
            plt.close(figure)  # Optuna draws into figures of pyplot, which keeps them
            yield out / f"{kind}.png"
