"""Whether the bound still rose when a fit came to its end."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bayesnas.inference.config.settings import FitSettings
from bayesnas.inference.runs.chain_record import ChainRecord

_FEWEST_STEPS = 200
_FROM, _WIDTH, _APART = 0.45, 0.1, 0.2  # in shares of the steps
_SHARE, _TRIFLE, _ERRORS = 0.05, 1e-3, 5.0
_WIDTH_ALONG = 0.15  # of the steps between 45 and 60 %, a decade of λ has its share only
_FEWEST_ALONG = 8  # steps of a stretch, in a decade


def unconverged(
    records: Sequence[ChainRecord],
    settings: FitSettings,
    span: tuple[float, float] | None = None,
) -> str | None:
    r"""What to say of a fit whose bound still rose; None where it did not, or it can't be told.

    The bound at the λ of the fit, :math:`\hat E \log p - \lambda KL` of every step, is averaged
    over two stretches of the steps, 45 to 55 % and 65 to 75 % (later after a warm-up of λ). At the
    very end a learning rate that goes down to 0 would hide what is left to gain. The fit counts as
    unconverged where more than 5 % of all that was gained from the first steps on came between the
    two, by more than five standard errors and 0.1 % of the bound.

    Of a fit over a range of λ the same is asked in every decade, of the steps that drew their λ
    there (stretches to 60 and to 80 %). Bounds at other λ are other numbers, so what is averaged is
    :math:`(\mathcal L_t - \mathcal L_0) / \lvert \mathcal L_0 \rvert` at the λ of the step,
    :math:`\mathcal L_0` of the first steps, around a parabola in ln λ.

    Args:
        records: history of every chain.
        settings: of the fit, or of a posterior at one λ of it.
        span: ends of the range of a fit over one; by default of its settings or its history.
    """
    if why_untold(records, settings):
        return None
    warmup, ends = settings.kl_warmup, _span(records, settings)
    if ends is None:
        return _said(max(_rise(record.history, warmup) for record in records), settings)
    decades = _decades(*(span or ends))
    shares = [max(_rise_along(r.history, decade, warmup) for r in records) for decade in decades]
    rising = [decade for decade, share in zip(decades, shares, strict=True) if share > _SHARE]
    return _said(max(shares), settings, where=f"at λ = {_ranges(rising)}, ")


def _said(share: float, settings: FitSettings, where: str = "") -> str | None:
    if share <= _SHARE:
        return None
    return (
        f"not converged: {where}{100 * share:.0f} % of what the bound gained came after half of "
        f"the steps; give more steps or a larger lr than {settings.lr:g}"
    )


def why_untold(records: Sequence[ChainRecord], settings: FitSettings) -> str:
    """Why :func:`unconverged` says nothing of a fit, whatever its bound did; empty where it does.

    Args:
        records: history of every chain.
        settings: of the fit.
    """
    steps = min((len(record.history) for record in records), default=0)
    if settings.bilevel is not None:
        return "the fit is bilevel"
    if settings.patience is not None:
        return "held-out data stop the fit"
    if steps < _FEWEST_STEPS:
        return f"fewer than {_FEWEST_STEPS} steps"
    ends = _span(records, settings)
    if not _has_room(settings.kl_warmup, _WIDTH if ends is None else _WIDTH_ALONG):
        return "λ rose for too many of the steps"
    if ends is not None and steps * _WIDTH_ALONG < _FEWEST_ALONG * len(_decades(*ends)):
        return f"too few steps for {len(_decades(*ends))} decades of λ"
    return ""


def _span(records: Sequence[ChainRecord], settings: FitSettings) -> tuple[float, float] | None:
    """The range of λ of a fit over one; None of a fit at one λ."""
    history = records[0].history
    drawn = history[int(_first(settings.kl_warmup) * len(history)) :, 3]
    if not len(drawn) or not float(drawn.max()) > float(drawn.min()) > 0:
        return None
    if settings.amortization is not None:
        return settings.amortization.span.low, settings.amortization.span.high
    return float(drawn.min()), float(drawn.max())


def _first(kl_warmup: float) -> float:
    return max(_FROM, kl_warmup + 0.05)


def _has_room(kl_warmup: float, width: float) -> bool:
    return _first(kl_warmup) + _APART + width <= 1


def _rise(history: Tensor, kl_warmup: float) -> float:
    """Between the two stretches, as a share of the whole gain; 0 where it is not sure."""
    count = len(history)
    first = _first(kl_warmup)
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


def _rise_along(history: Tensor, ends: tuple[float, float], kl_warmup: float) -> float:
    """The same of the steps whose λ lay between two ends."""
    count = len(history)
    expected, kl, kl_weight = history.double().unbind(1)[1:]
    few = max(1, count // 100)
    bound = expected - kl_weight * kl
    start = expected[:few].mean() - kl_weight * kl[:few].mean()
    share = torch.arange(count) / count
    first = _first(kl_warmup)
    inside = (kl_weight >= ends[0]) & (kl_weight <= ends[1])
    early, late = (
        inside & (share >= at) & (share < at + _WIDTH_ALONG) for at in (first, first + _APART)
    )
    if min(int(early.sum()), int(late.sum())) < _FEWEST_ALONG:
        return 0.0
    both = early | late
    gain = ((bound - start) / start.abs())[both]
    rise, error = _shift(kl_weight[both].log(), gain, late[both])
    trifle = _TRIFLE * float((bound / start).abs()[late].mean())
    if not rise > max(_ERRORS * error, trifle):
        return 0.0
    gained = float(gain[late[both]].mean())
    return rise / gained if gained > rise else 1.0


def _shift(x: Tensor, y: Tensor, late: Tensor) -> tuple[float, float]:
    """By how much y is larger where it is late, beside a parabola in x; and its standard error."""
    x = x - x.mean()
    terms = torch.stack([torch.ones_like(x), x, x**2, late.double()], 1)
    inverse = torch.linalg.pinv(terms.T @ terms)
    weights = inverse @ terms.T @ y
    left = y - terms @ weights
    variance = float(left @ left) / (len(y) - terms.shape[1])
    return float(weights[-1]), math.sqrt(variance * float(inverse[-1, -1]))


def _decades(low: float, high: float) -> list[tuple[float, float]]:
    """A range in parts of about a decade, equal in the logarithm."""
    count = max(1, round(math.log10(high / low)))
    edges = [low * (high / low) ** (k / count) for k in range(count)] + [high]
    return list(itertools.pairwise(edges))


def _ranges(parts: Sequence[tuple[float, float]]) -> str:
    """Parts in words, those that touch as one."""
    joined: list[tuple[float, float]] = []
    for low, high in parts:
        if joined and joined[-1][1] == low:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return " and ".join(f"{low:.3g}…{high:.3g}" for low, high in joined)
