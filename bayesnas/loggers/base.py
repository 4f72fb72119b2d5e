"""What all loggers share: which steps are written, and what of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from bayesnas.checks import draw_count, shown, whole_number
from bayesnas.data import Split
from bayesnas.data.streams.streamed_split import AnySplit, StreamedSplit
from bayesnas.inference.config.inputs import Data, checked_data
from bayesnas.inference.evaluation.metrics import evaluate
from bayesnas.inference.training.events import StepEvent

_SEED = 0  # of the draws behind metrics: the same at every step
_OF_A_SAMPLE = ("elbo", "kl", "expected_log_lik", "elbo_error")


def place_of(step: int, chain: int) -> tuple[int, int]:
    """Step and chain of what is written, checked."""
    return whole_number("step", step, 0), whole_number("chain", chain, 0)


def _is_data(value: object) -> bool:
    is_pair = isinstance(value, tuple) and len(value) == 2
    return is_pair or isinstance(value, (Split, StreamedSplit))


class Logger:
    """A hook for ``bayesnas.fit(on_step=...)``; subclasses say where numbers go.

    Of a step it writes ``loss`` (−𝓛), ``expected_log_lik`` and ``kl``, full-sample estimates in
    nats, and ``kl_weight``; of validation data ``validation/nll`` and ``validation/accuracy`` and
    ``/ece``, or ``/rmse``. Looking changes nothing: the fit has the numbers that it has without.

    Args:
        every: write each so many steps.
        validation: data to measure the model on; None: none.
        validate_every: measure it each so many steps.
        draws: of the weights behind these metrics; 0: the posterior means.

    Raises:
        ValueError: naming a number out of range.
        TypeError: for validation data that are no part of a data set and no pair.

    >>> import bayesnas as bn
    >>> from bayesnas.loggers import CSVLogger
    >>> issubclass(CSVLogger, Logger)
    True
    """

    def __init__(
        self,
        *,
        every: int = 1,
        validation: Data | None = None,
        validate_every: int = 100,
        draws: int = 8,
    ) -> None:
        self.every = whole_number("every", every)
        self.validate_every = whole_number("validate_every", validate_every)
        self.draws = draw_count("draws", draws, 0)
        if validation is not None and not _is_data(validation):
            raise TypeError(
                f"validation must be a part of a data set or a pair (x, y), got {shown(validation)}"
            )
        self.validation = validation
        self._sample: AnySplit | None = None

    def __call__(self, event: StepEvent) -> None:
        """Write what is due at a step."""
        values: dict[str, float] = {}
        if event.step % self.every == 0:
            names = ("loss", "expected_log_lik", "kl", "kl_weight")
            values |= {name: getattr(event, name) for name in names}
        if self.validation is not None and event.step % self.validate_every == 0:
            values |= {f"validation/{name}": value for name, value in self._metrics(event).items()}
        if values:
            self.log(values, event.step, event.chain)

    def _metrics(self, event: StepEvent) -> dict[str, float]:
        device = next(event.model.parameters()).device
        if self._sample is None:
            assert self.validation is not None
            self._sample = checked_data(event.model, self.validation, "validation").to(device)
        metrics = evaluate(event.model, self._sample, event.kl_weight, self.draws, _SEED)
        return {name: value for name, value in metrics.items() if name not in _OF_A_SAMPLE}

    def log(self, values: Mapping[str, float], step: int, chain: int = 0) -> None:
        """Write numbers by name, of one step of one chain; also for metrics of your own.

        Raises:
            TypeError: where a subclass does not define it.
        """
        raise TypeError(f"{type(self).__name__} does not define log(values, step, chain)")

    def close(self) -> None:
        """Finish what is written."""

    def __enter__(self) -> Self:
        """The logger itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish what is written, also after an error."""
        self.close()
