"""Whether the bound still rose when a fit came to its end."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from bayesnas.inference.config.settings import FitSettings
from bayesnas.inference.runs.chain_record import ChainRecord

_FEWEST_STEPS = 200
_FROM, _WIDTH, _APART = 0.45, 0.1, 0.2  # in shares of the steps
_SHARE, _TRIFLE, _ERRORS = 0.05, 1e-3, 5.0


def unconverged(records: Sequence[ChainRecord], settings: FitSettings) -> str | None:
    r"""What to say of a fit whose bound still rose; None where it did not, or it can't be told.

    The bound at the λ of the fit, :math:`\hat E \log p - \lambda KL` of every step, is averaged
    over two stretches of the steps, 45 to 55 % and 65 to 75 % (later after a warm-up of λ). At the
    very end a learning rate that goes down to 0 would hide what is left to gain. The fit counts as
    unconverged where more than 5 % of all that was gained from the first steps on came between the
    two, by more than five standard errors and 0.1 % of the bound.

    Args:
        records: history of every chain.
        settings: of the fit.
    """
    if not (settings.amortization is None and settings.patience is None is settings.bilevel):
        return None
    rises = [_rise(record.history, settings.kl_warmup) for record in records]
    largest = max(rises, default=0.0)
    if largest <= _SHARE:
        return None
    return (
        f"not converged: {100 * largest:.0f} % of what the bound gained came after half of the "
        f"steps; give more steps or a larger lr than {settings.lr:g}"
    )


def why_untold(steps: int, settings: FitSettings) -> str:
    """Why :func:`unconverged` says nothing of a fit, whatever its bound did; empty where it does.

    Args:
        steps: that were taken.
        settings: of the fit.
    """
    if settings.amortization is not None:
        return "the fit is over many λ"
    if settings.bilevel is not None:
        return "the fit is bilevel"
    if settings.patience is not None:
        return "held-out data stop the fit"
    if steps < _FEWEST_STEPS:
        return f"fewer than {_FEWEST_STEPS} steps"
    return "" if _has_room(settings.kl_warmup) else "λ rose for too many of the steps"


def _first(kl_warmup: float) -> float:
    return max(_FROM, kl_warmup + 0.05)


def _has_room(kl_warmup: float) -> bool:
    return _first(kl_warmup) + _APART + _WIDTH <= 1


def _rise(history: Tensor, kl_warmup: float) -> float:
    """Between the two stretches, as a share of the whole gain; 0 where it is not sure."""
    count = len(history)
    first = _first(kl_warmup)
    if count < _FEWEST_STEPS or not _has_room(kl_warmup):
        return 0.0
    expected, kl, kl_weight = history.double().unbind(1)[1:]
    bound = expected - kl_weight[-1] * kl
    early, late = (
        bound[int(start * count) : int((start + _WIDTH) * count)]
        for start in (first, first + _APART)
    )
    rise = float(late.mean() - early.mean())
    error = math.sqrt(float(early.var() / len(early) + late.var() / len(late)))
    if not rise > max(_ERRORS * error, _TRIFLE * abs(float(late.mean()))):
        return 0.0
    gained = float(late.mean() - bound[: max(1, count // 100)].mean())
    return rise / gained if gained > rise else 1.0
