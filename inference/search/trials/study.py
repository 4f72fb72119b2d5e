"""A study: made with what it is of, or found again and compared with what is asked for."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bayesnas.checks import shown
from bayesnas.inference.search.space import SearchSpace
from bayesnas.inference.search.trials.objectives import Objectives
from bayesnas.inference.search.trials.optuna_import import import_optuna, quiet_optuna
from bayesnas.inference.search.trials.queue import Queue
from bayesnas.inference.search.trials.storage import Storage, StorageError, open_storage

_ABOUT = "bayesnas"
_MAKING_SECONDS = 30.0  # that another process may take to make the study


@dataclass(frozen=True)
class Plan:
    """What a study is of; a study of another plan is not gone on with.

    Attributes:
        space: of its candidates.
        objectives: and their directions.
        strategy: name of it.
        seed: of the strategy.
        judge: what the objective says of itself, as JSON values; None where it says nothing.
    """

    space: SearchSpace
    objectives: Objectives
    strategy: str
    seed: int
    judge: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "fingerprint": self.space.fingerprint,
            "space": self.space.to_dict(),
            "objectives": dict(self.objectives.directions),
            "strategy": self.strategy,
            "seed": self.seed,
            "judge": self.judge,
        }

    @classmethod
    def from_dict(cls, spec: Mapping[str, Any]) -> Plan:
        """The plan that :meth:`to_dict` described."""
        return cls(
            SearchSpace.from_dict(spec["space"]),
            Objectives.of(spec["objectives"]),
            spec["strategy"],
            spec["seed"],
            spec.get("judge"),
        )


def judge_settings(objective: object) -> Mapping[str, Any] | None:
    """What an objective gives by ``config()``, as JSON gives it back; None without it.

    Raises:
        TypeError: it gives something else than JSON values by name.
    """
    config = getattr(objective, "config", None)
    if not callable(config):
        return None
    given = config()
    try:
        settings = json.loads(json.dumps(given))
    except (TypeError, ValueError):
        settings = None
    if not isinstance(settings, dict):
        raise TypeError(f"objective.config() must give JSON values by name, got {shown(given)}")
    return settings


def make_study(plan: Plan, storage: Storage, name: str, *, resume: bool) -> Queue:
    """The study of a plan, new, or with ``resume`` the one that is there.

    Raises:
        StorageError: the storage can't be written.
        FileExistsError: there is a study of that name, and it is not to be gone on with.
        ValueError: it is of another plan, naming the first difference.
    """
    optuna = import_optuna()
    opened = open_storage(storage)
    directions = plan.objectives.optuna_directions
    with quiet_optuna():
        try:
            study, is_new = _created_or_found(opened, name, directions)
        except (OSError, optuna.exceptions.StorageInternalError) as error:
            raise StorageError(f"storage can't be written, got {storage}: {error}") from error
        if is_new:
            study.set_user_attr(_ABOUT, plan.to_dict())
        elif resume:
            _check_same(name, _about(study), plan.to_dict())
        else:
            raise FileExistsError(
                f"there is a study {name!r} in {storage}: go on with it by resume=True, or give "
                "another name or storage"
            )
    return Queue(study, opened)


def _created_or_found(storage: Any, name: str, directions: list[str]) -> tuple[Any, bool]:
    """The study, and whether it is new; two processes may begin at once."""
    optuna = import_optuna()
    if name not in optuna.get_all_study_names(storage):  # a try to create it leaves a trace
        with contextlib.suppress(optuna.exceptions.DuplicatedStudyError):
            made = optuna.create_study(storage=storage, study_name=name, directions=directions)
            return made, True
    return optuna.load_study(storage=storage, study_name=name), False


def open_study(storage: Storage, name: str) -> tuple[Queue, Plan]:
    """A study that is there, and its plan.

    Raises:
        ValueError: there is none of that name, naming those that there are.
    """
    optuna = import_optuna()
    opened = open_storage(storage)
    names = optuna.get_all_study_names(opened)
    if name not in names:
        raise ValueError(f"name must be one of the studies in {storage}, {names}, got {name!r}")
    with quiet_optuna():
        study = optuna.load_study(storage=opened, study_name=name)
    return Queue(study, opened), Plan.from_dict(_about(study))


def _about(study: Any) -> dict[str, Any]:
    """What a study is of; waits while another process is just making it."""
    until = time.monotonic() + _MAKING_SECONDS
    while _ABOUT not in study.user_attrs:
        if study.trials or time.monotonic() > until:
            raise ValueError(
                f"the study {study.study_name!r} must be one of bayesnas, got another's, or one "
                "whose maker was stopped: give another name"
            )
        time.sleep(0.1)
    about: dict[str, Any] = study.user_attrs[_ABOUT]
    return about


def _check_same(name: str, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    for key in ("space", "objectives", "strategy", "seed"):
        # Of spaces the fingerprint knows the order of the variables, which JSON need not keep.
        same = "fingerprint" if key == "space" else key
        if stored.get(same) != asked[same]:
            raise ValueError(
                f"{key} must be that of the study {name!r}, {shown(stored.get(key))}, got "
                f"{shown(asked[key])}; give another name or storage"
            )
    was, now = stored.get("judge") or {}, asked["judge"] or {}
    for key in {**was, **now}:
        if was.get(key) != now.get(key):
            raise ValueError(
                f"{key} must be that of the trials of the study {name!r}, {shown(was.get(key))}, "
                f"got {shown(now.get(key))}; give another name or storage"
            )
