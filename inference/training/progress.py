"""The progress bar of a fit."""

from __future__ import annotations

import time

import torch
from tqdm import tqdm

from bayesnas.data import Split
from bayesnas.inference.evaluation.metrics import accuracy_of_means
from bayesnas.inference.training.chains.trainer import ChainTrainer

_SECONDS_BETWEEN_FIGURES = 0.5


class Progress:
    """A bar with loss, accuracy and time left; silent where stderr is no terminal.

    Args:
        shown: False for no bar at all.
        steps: steps of all chains together.
        label: what is fitted.
        done: steps done before this process, on resuming.
    """

    def __init__(self, shown: bool, steps: int, label: str, done: int = 0) -> None:
        """Open the bar; see the class."""
        self._bar = tqdm(
            total=steps,
            initial=done,
            desc=label,
            unit="step",
            disable=None if shown else True,  # None: tqdm is silent where there is no terminal
            dynamic_ncols=True,
        )
        self._last = done
        self._next_figures = 0.0

    def update(self, done: int, training: ChainTrainer) -> None:
        """Show the state after ``done`` steps of all chains."""
        now = time.monotonic()
        if not self._bar.disable and training.step > 0 and now >= self._next_figures:
            self._bar.set_postfix(_figures(training), refresh=False)
            self._next_figures = now + _SECONDS_BETWEEN_FIGURES
        self._bar.update(done - self._last)
        self._last = done

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()


def _figures(training: ChainTrainer) -> dict[str, str]:
    figures = {"loss": f"{training.history[training.step - 1, 0].item():.0f}"}
    # A pair of the user's, of no stated task, need not be able to predict in order to be trained.
    if training.model.task == "classification":
        with torch.no_grad():
            batch = Split.as_given(training.batches.at(training.step - 1))
            accuracy = accuracy_of_means(training.model, batch)
        if accuracy is not None:
            figures["accuracy"] = f"{accuracy:.3f}"
    return figures
