"""The course of a fit for MLflow."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from bayesnas.checks import name_of
from bayesnas.loggers.base import Logger, place_of
from bayesnas.runtime.interrupt import InterruptedFitWarning
from bayesnas.typed import typed

_BATCH = 500  # metrics in a request; MLflow takes 1,000


class MLflowLogger(Logger):
    """Writes metrics to a server or folder of MLflow, one run a chain.

    Needs the extra: ``pip install 'bayesnas[mlflow]'``. MLflow's active run is left alone.
    As a context it ends its runs as failed after an error, and as killed after Ctrl-C.

    Args:
        uri: of the tracking server, ``"http://..."``, or of a data base, ``"sqlite:///runs.db"``;
            None: as MLflow is set up.
        experiment: its name; made where there is none.
        params: written with every run, such as ``{"kl_weight": 1.0}``.
        options: of every :class:`Logger`.

    Raises:
        ImportError: mlflow is not installed.

    >>> import bayesnas as bn
    >>> logger = MLflowLogger("sqlite:///runs.db")  # doctest: +SKIP
    >>> bn.fit(model, data.train, on_step=logger)  # doctest: +SKIP
    """

    def __init__(
        self,
        uri: str | None = None,
        *,
        experiment: str = "bayesnas",
        params: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        name_of("experiment", experiment)
        try:
            from mlflow import MlflowClient
            from mlflow.entities import Metric, Param
        except ImportError as error:
            raise ImportError(
                "MLflowLogger needs mlflow: pip install 'bayesnas[mlflow]'"
            ) from error
        self._client, self._metric = MlflowClient(tracking_uri=uri), Metric
        self._params = [Param(name, str(value)) for name, value in (params or {}).items()]
        known = self._client.get_experiment_by_name(experiment)
        self._experiment = (
            self._client.create_experiment(experiment) if known is None else known.experiment_id
        )
        self._runs: dict[int, str] = {}
        self._waiting: dict[int, list[Any]] = {}

    @typed()
    def log(self, values: Mapping[str, float], step: int, chain: int = 0) -> None:
        """Keep the numbers until there are enough for a request; MLflow takes no NaN."""
        step, chain = place_of(step, chain)
        if chain not in self._runs:
            run = self._client.create_run(self._experiment, run_name=f"chain{chain}")
            self._runs[chain], self._waiting[chain] = run.info.run_id, []
            self._client.log_batch(self._runs[chain], params=self._params)
        now = int(time.time() * 1000)
        self._waiting[chain] += [
            self._metric(name, value, now, step)
            for name, value in values.items()
            if not math.isnan(value)
        ]
        if len(self._waiting[chain]) >= _BATCH:
            self._send(chain)

    def _send(self, chain: int) -> None:
        metrics, self._waiting[chain] = self._waiting[chain], []
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(self._runs[chain], metrics=metrics[start : start + _BATCH])

    def close(self) -> None:
        """Send what is left, and end the runs."""
        self._end("FINISHED")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the runs, as failed after an error and as killed after Ctrl-C."""
        if kind is None:
            self._end("FINISHED")
        else:
            stopped = issubclass(kind, (KeyboardInterrupt, InterruptedFitWarning))
            self._end("KILLED" if stopped else "FAILED")

    def _end(self, status: str) -> None:
        for chain, run in self._runs.items():
            self._send(chain)
            self._client.set_terminated(run, status)
