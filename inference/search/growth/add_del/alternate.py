"""Add and Del in turns until neither changes anything."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from bayesnas.checks import flag, non_negative, whole_number
from bayesnas.inference.search.growth.add_del.elements import Change, Elements
from bayesnas.inference.search.growth.record import Grown
from bayesnas.runtime.interrupt import DeferredInterrupt, InterruptedFitWarning
from bayesnas.typed import typed

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AddDel(Grown):
    """What :func:`~bayesnas.inference.search.add_del` gives.

    ``history`` has one row a step: ``iteration``, ``phase`` (``"add"`` or ``"del"``), ``element``,
    ``error`` on validation data and ``size`` after it, and ``kept``, whether the phase ended at or
    behind it; the first row is the model at the start.

    >>> import torch
    >>> from bayesnas.inference.search import LinearFeatures, add_del
    >>> x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    >>> elements = LinearFeatures((x[:40], x[:40, 1]), (x[40:], x[40:, 1]))
    >>> len(add_del(elements).history) > 1
    True
    """

    @property
    def history(self) -> pd.DataFrame:
        """One row a step; see the class."""
        return super().history.astype({"element": "Int64"})

    @property
    def error(self) -> float:
        """Error of the model on validation data."""
        return float(self._last()["error"])

    @property
    def size(self) -> int:
        """Elements of the model."""
        return int(self._last()["size"])

    def _last(self) -> Any:
        return [step for step in self.steps if step["kept"]][-1]

    def __repr__(self) -> str:
        """Size and error, on one line."""
        return f"AddDel({self.size} elements, validation error {self.error:.4g})"


@typed(unchecked=("elements",))
def add_del(
    elements: Elements[Any],
    *,
    add_rise: float = 0.0,
    delete_rise: float = 0.0,
    most_iterations: int = 20,
    progress: bool = True,
) -> AddDel:
    r"""AddDel: elements are added while the validation error falls, then deleted, and so on.

    Add takes, one after the other, the element that lowers the validation error S most, until S is
    more than Δ₁ above the least of this phase; Del takes away the element of the least saliency
    :math:`\tfrac12 h w^2` (Optimal Brain Damage), until S is more than Δ₂ above the least of its
    phase. Each phase ends at its model of the least S, of several the smallest, so S never rises
    from one iteration to the next. The search ends when an iteration changes nothing. Rises above 0
    let a phase pass over a hill.

    Args:
        elements: :class:`LinearFeatures`, :class:`HiddenNeurons`, or anything of that protocol.
        add_rise: Δ₁ ≥ 0, in the units of the error.
        delete_rise: Δ₂ ≥ 0.
        most_iterations: more are not made.
        progress: show a bar, where stderr is a terminal.

    Returns:
        the network, and error and size after every step. After Ctrl-C, with a warning, as it stood.

    Raises:
        TypeError: elements lack a method.
        ValueError: naming an argument out of range; or an error that is no number.

    References:
        Popova, Strijov, *Selection of optimal physical activity classification model using
        measurements of accelerometer*, Informatics and Applications 9(1), 2015.

    >>> import torch
    >>> from bayesnas.inference.search import LinearFeatures, add_del
    >>> x = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    >>> y = x[:, 1] - 2 * x[:, 3]
    >>> elements = LinearFeatures((x[:40], y[:40]), (x[40:], y[40:]))
    >>> record = add_del(elements)
    >>> record.history.loc[1:2, ["phase", "element", "size", "kept"]].to_dict("list")
    {'phase': ['add', 'add'], 'element': [3, 1], 'size': [1, 2], 'kept': [True, True]}
    """
    if not isinstance(elements, Elements):
        raise TypeError(
            "elements must be LinearFeatures, HiddenNeurons, or have the methods of "
            f"bayesnas.inference.search.Elements, got {type(elements).__name__}"
        )
    rises = {
        "add": non_negative("add_rise", add_rise),
        "del": non_negative("delete_rise", delete_rise),
    }
    most = whole_number("most_iterations", most_iterations)
    shown = None if flag("progress", progress) else True
    walk = _Walk(elements)
    with DeferredInterrupt() as interrupt, tqdm(desc="AddDel", unit="step", disable=shown) as bar:
        for iteration in range(1, most + 1):
            before = walk.model
            for phase, change in (("add", elements.add), ("del", elements.delete)):
                walk.take(iteration, phase, change, rises[phase], interrupt.received, bar.update)
            if walk.model is before or interrupt.received():
                break
        stopped = interrupt.received()
    if stopped:
        warnings.warn(
            f"interrupted after {len(walk.steps)} steps: this is the model as it stood",
            InterruptedFitWarning,
            stacklevel=3,
        )
    settings = {
        **elements.config(),
        "add_rise": rises["add"],
        "delete_rise": rises["del"],
        "most_iterations": most,
    }
    return AddDel(elements.module(walk.model).eval(), walk.steps, settings)


class _Walk:
    """The model at hand, and the steps to it."""

    def __init__(self, elements: Elements[Any]) -> None:
        self._elements = elements
        self.model = elements.start()
        self.steps: list[dict[str, Any]] = []
        self._note(0, "start", None, self.model)
        self.steps[0]["kept"] = True

    def take(
        self,
        iteration: int,
        phase: str,
        change: Callable[[Any], Change | None],
        rise: float,
        stopped: Callable[[], bool],
        done: Callable[[], Any],
    ) -> None:
        """One phase: steps until the error has risen, then back to the least."""
        first = len(self.steps)
        model, least = self.model, self._score(self.model)
        best = 0
        while not stopped() and (chosen := change(model)) is not None:
            model = chosen.model
            score = self._note(iteration, phase, chosen.element, model)
            done()
            if _is_better(score, least):
                best, least, self.model = len(self.steps) - first, score, model
            elif score[0] > least[0] + rise:
                break
        for step in self.steps[first : first + best]:
            step["kept"] = True

    def _note(self, iteration: int, phase: str, element: int | None, model: Any) -> Any:
        error, size = score = self._score(model)
        if not math.isfinite(error):
            raise ValueError(f"elements: the error after {phase} {element} must be finite")
        self.steps.append(
            {
                "iteration": iteration,
                "phase": phase,
                "element": element,
                "error": error,
                "size": size,
                "kept": False,
            }
        )
        return score

    def _score(self, model: Any) -> tuple[float, int]:
        return float(self._elements.error(model)), self._elements.size(model)


_ROUNDING = 1e-9  # relative; a smaller difference of errors is none


def _is_better(score: tuple[float, int], least: tuple[float, int]) -> bool:
    """Whether an error is lower, or as low with fewer elements."""
    if math.isclose(score[0], least[0], rel_tol=_ROUNDING, abs_tol=1e-300):
        return score[1] < least[1]
    return score[0] < least[0]
