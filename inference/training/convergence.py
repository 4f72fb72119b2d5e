"""Whether the bound still rose when a fit came to its end."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from bayesnas.inference.config.settings import FitSettings
from bayesnas.inference.runs.chain_record import ChainRecord

FEWEST_STEPS = 200
"""Of a shorter fit nothing can be told."""

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


def _rise(history: Tensor, kl_warmup: float) -> float:
    """Between the two stretches, as a share of the whole gain; 0 where it is not sure."""
    count = len(history)
    first = max(_FROM, kl_warmup + 0.05)
    if count < FEWEST_STEPS or first + _APART + _WIDTH > 1:
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
