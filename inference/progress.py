"""The progress bar of a fit."""

from __future__ import annotations

import torch
from tqdm import tqdm

from bayesnas.inference.evaluation import accuracy_of_means
from bayesnas.inference.training import Training


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

    def update(self, done: int, training: Training) -> None:
        """Show the state after ``done`` steps of all chains."""
        if not self._bar.disable and training.step > 0:
            figures = {"loss": f"{training.history[training.step - 1, 0].item():.0f}"}
            with torch.no_grad():
                accuracy = accuracy_of_means(
                    training.model, *training.batches.at(training.step - 1)
                )
            if accuracy is not None:
                figures["accuracy"] = f"{accuracy:.3f}"
            self._bar.set_postfix(figures, refresh=False)
        self._bar.update(done - self._last)
        self._last = done

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()
