"""Optuna's own plots of a study, in matplotlib."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesnas.inference.search.trials.objectives import Objectives
from bayesnas.inference.search.trials.optuna_import import quiet_optuna
from bayesnas.words import did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("front", "history", "importance", "parallel", "hypervolume")


def plot_study(
    study: Any,
    objectives: Objectives,
    kind: str,
    *,
    reference: Mapping[str, float],
    **options: Any,
) -> Axes:
    """Draw into a new figure.

    Args:
        study: Optuna's.
        objectives: of it.
        kind: one of :data:`KINDS`; of several objectives, history, importance and parallel are
            of the first one unless ``target`` says otherwise.
        reference: point of the hypervolume.
        options: of the function of ``optuna.visualization.matplotlib``.

    Raises:
        ValueError: for an unknown kind, or a front of one objective.
    """
    if kind not in KINDS:
        hint = did_you_mean(kind, KINDS)
        raise ValueError(f"kind must be one of {list(KINDS)}, got {kind!r}{hint}")
    names = objectives.names
    if kind in ("front", "hypervolume") and len(names) == 1:
        raise ValueError(f"kind {kind!r} needs several objectives, got {names[0]!r} alone")
    with quiet_optuna(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of matplotlib, on scales of one value
        axes: Axes = _draw(study, names, kind, reference, options)
        return axes


def _draw(
    study: Any,
    names: tuple[str, ...],
    kind: str,
    reference: Mapping[str, float],
    options: dict[str, Any],
) -> Any:
    import optuna.visualization.matplotlib as optuna_plots

    if kind == "front":
        return optuna_plots.plot_pareto_front(study, **{"target_names": names} | options)
    if kind == "hypervolume":
        point = {"reference_point": [reference[name] for name in names]}
        return optuna_plots.plot_hypervolume_history(study, **point | options)
    of_first: dict[str, Any] = {"target_name": names[0]}
    if len(names) > 1:
        of_first["target"] = _first
    draw: Any = {
        "history": optuna_plots.plot_optimization_history,
        "importance": optuna_plots.plot_param_importances,
        "parallel": optuna_plots.plot_parallel_coordinate,
    }[kind]
    return draw(study, **of_first | options)


def _first(trial: Any) -> float:
    return float(trial.values[0])
