"""What a search came to: its trials, the best of them, tables and plots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnas.checks import finite
from bayesnas.inference.search.space import Candidate
from bayesnas.inference.search.trials.front import hypervolume, non_dominated
from bayesnas.inference.search.trials.plots import plot_study
from bayesnas.inference.search.trials.queue import ERROR, KILLED, SLOT, WORKER, Queue
from bayesnas.inference.search.trials.study import Plan
from bayesnas.inference.search.trials.worker import METRICS, SECONDS
from bayesnas.typed import typed

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class SearchTrial:
    """One trial of a search.

    Attributes:
        number: its place in the search.
        candidate: what was judged.
        scores: by objective, in the direction of the objective; empty unless it is complete.
        state: ``"complete"``, ``"failed"``, ``"waiting"`` or ``"running"``.
        metrics: what else the judge said.
        seconds: that the judge took, None before it is finished.
        worker: ``host:process``, None before one has taken it.
        error: why it failed.
        attempts: how often it was begun; more than one where a worker was killed.

    >>> import bayesnas as bn
    >>> from bayesnas.inference.search import Real
    >>> result = bn.search({"x": Real(0, 1)}, lambda c: c["x"], "random", trials=3)
    >>> trial = result.trials[0]
    >>> trial.number, trial.state, trial.scores["score"] == trial.candidate["x"]
    (0, 'complete', True)
    """

    number: int
    candidate: Candidate
    scores: Mapping[str, float]
    state: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    worker: str | None = None
    error: str | None = None
    attempts: int = 1


@dataclass(frozen=True)
class SearchResult:
    """The trials of a search, as they stood when it was made.

    Attributes:
        plan: space, objectives, strategy and seed.
        trials: one a place, in order.
        study: Optuna's, with everything that Optuna does.

    >>> from bayesnas.inference.search import Integer, SearchSpace, search
    >>> space = SearchSpace({"depth": Integer(1, 4)})
    >>> result = search(space, lambda candidate: (candidate["depth"] - 3) ** 2, "grid")
    >>> result.best.candidate, result.best.scores
    ({'depth': 3}, {'score': 0.0})
    """

    plan: Plan
    trials: tuple[SearchTrial, ...]
    study: Any

    @property
    def complete(self) -> tuple[SearchTrial, ...]:
        """The trials that have scores."""
        return tuple(trial for trial in self.trials if trial.state == "complete")

    @property
    def best(self) -> SearchTrial:
        """The first trial of the best score.

        Raises:
            ValueError: there are several objectives, or no trial is complete.
        """
        if len(self.plan.objectives.names) > 1:
            raise ValueError(
                f"best needs one objective, got {list(self.plan.objectives.names)}: see front"
            )
        return self.complete[int(self._points().argmin())]

    @property
    def front(self) -> tuple[SearchTrial, ...]:
        """The trials that no other dominates, in the order of the first objective.

        Raises:
            ValueError: no trial is complete.
        """
        points = self._points()
        kept = np.flatnonzero(non_dominated(points))
        return tuple(self.complete[i] for i in kept[np.argsort(points[kept, 0], kind="stable")])

    def reference(self) -> dict[str, float]:
        """The worst score of every objective: the reference point of :meth:`hypervolume`."""
        worst = self._points().max(0) * np.array(self.plan.objectives.signs)
        return dict(zip(self.plan.objectives.names, worst.tolist(), strict=True))

    @typed()
    def hypervolume(self, reference: Mapping[str, float] | None = None) -> float:
        """Volume of what the front dominates.

        Args:
            reference: point that bounds it, a value an objective; :meth:`reference` by default.
                Volumes of two searches compare at one reference point alone.

        Raises:
            ValueError: the reference names other objectives.
        """
        given = self.reference() if reference is None else reference
        names = self.plan.objectives.names
        if set(given) != set(names):
            raise ValueError(f"reference must have a value for each of {list(names)}, got {given}")
        point = self.plan.objectives.minimised([finite("reference", given[name]) for name in names])
        return hypervolume(self._points(), np.array(point))

    def to_frame(self) -> pd.DataFrame:
        """A row a trial: its state, worker and seconds, its variables, scores and metrics.

        A metric with the name of another column is called ``metrics.<name>``, and a score with that
        of a variable ``scores.<name>``.
        """
        import pandas as pd

        return pd.DataFrame([self._row(trial) for trial in self.trials])

    def _row(self, trial: SearchTrial) -> dict[str, Any]:
        row: dict[str, Any] = {
            "trial": trial.number,
            "state": trial.state,
            "seconds": trial.seconds,
            "worker": trial.worker,
            "attempts": trial.attempts,
            "failure": trial.error,
        }
        scores = {name: trial.scores.get(name) for name in self.plan.objectives.names}
        variables = {name: trial.candidate.get(name) for name in self.plan.space}
        parts: dict[str, Mapping[str, Any]] = {
            "variables": variables,
            "scores": scores,
            "metrics": trial.metrics,
        }
        for part, values in parts.items():
            row |= {f"{part}.{k}" if k in row else k: value for k, value in values.items()}
        return row

    def to_xarray(self) -> xr.Dataset:
        """The table of :meth:`to_frame` along ``trial``, its attributes what was searched."""
        frame = self.to_frame().set_index("trial")
        dataset: xr.Dataset = frame.to_xarray()
        dataset.attrs = {
            "strategy": self.plan.strategy,
            "seed": self.plan.seed,
            "objectives": ", ".join(
                f"{name} ({way})" for name, way in self.plan.objectives.directions.items()
            ),
            "fingerprint": self.plan.space.fingerprint,
        }
        return dataset

    @typed()
    def plot(self, kind: str = "history", **options: Any) -> Axes:
        """One of Optuna's plots of the study; see :func:`~.plots.plot_study`.

        Args:
            kind: ``"front"``, ``"history"``, ``"importance"``, ``"parallel"`` or
                ``"hypervolume"``.
            options: of Optuna's function.

        Raises:
            ValueError: for an unknown kind, or fewer than two complete trials.
        """
        if len(self.complete) < 2:
            raise ValueError(f"a plot needs two complete trials, got {len(self.complete)}")
        reference, objectives = self.reference(), self.plan.objectives
        return plot_study(self.study, objectives, kind, reference=reference, **options)

    def _points(self) -> np.ndarray:
        """Minimised scores ``[n, objectives]`` of the complete trials."""
        names = self.plan.objectives.names
        if not self.complete:
            raise ValueError(f"a trial must be complete, got {len(self.trials)} that are not")
        values = [[trial.scores[name] for name in names] for trial in self.complete]
        points: np.ndarray = np.array(values) * np.array(self.plan.objectives.signs)
        return points


def result_of(queue: Queue, plan: Plan) -> SearchResult:
    """The trials of a study, one a place: the finished attempt, or the latest."""
    attempts: dict[int, list[Any]] = {}
    for trial in queue.trials():
        attempts.setdefault(trial.user_attrs.get(SLOT, trial.number), []).append(trial)
    trials = [_trial(slot, tried, plan) for slot, tried in sorted(attempts.items())]
    return SearchResult(plan, tuple(trials), queue.study)


_STATES = {"COMPLETE": "complete", "FAIL": "failed", "WAITING": "waiting", "RUNNING": "running"}


def _trial(slot: int, attempts: list[Any], plan: Plan) -> SearchTrial:
    done = [trial for trial in attempts if trial.state.name == "COMPLETE"]
    trial = done[0] if done else attempts[-1]
    known = trial.user_attrs
    return SearchTrial(
        number=slot,
        candidate={name: trial.params[name] for name in plan.space if name in trial.params},
        scores=dict(zip(plan.objectives.names, trial.values or (), strict=bool(trial.values))),
        state=_STATES.get(trial.state.name, "failed"),
        metrics=known.get(METRICS, {}),
        seconds=known.get(SECONDS),
        worker=known.get(WORKER),
        error=known.get(ERROR, "its workers were killed" if known.get(KILLED) else None),
        attempts=sum(trial.state.name != "WAITING" for trial in attempts),
    )
