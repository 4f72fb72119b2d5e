"""Warnings in plain words, each with what to do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bayesnas.export.psis import largest_pareto_k
from bayesnas.report.findings import INTERVAL_DRAWS, LEVEL, Array
from bayesnas.report.page.checks import FitChecks

_ERRORS = 3.0  # standard errors from which a miscalibration is no chance
_LEAST_ECE = 0.02
_AT_AN_END = 0.01  # of ln λ


@dataclass(frozen=True)
class Remark:
    """One warning.

    Attributes:
        name: of what is wrong, the same in every report.
        text: what was measured.
        advice: what to do.

    >>> from bayesnas.report import Remark
    >>> Remark("not converged", "The bound still rose.", "Give more steps.").advice
    'Give more steps.'
    """

    name: str
    text: str
    advice: str


def remarks_on(checks: FitChecks) -> list[Remark]:
    """The warnings that a fit calls for, the gravest first; none for a fit without a flaw.

    - *not converged*: the bound still rose (``bayesnas.inference.training.convergence``).
    - *Pareto k̂ too high*: above min(1 − 1/log₁₀ S, 0.7) of Vehtari et al. (2024), S draws.
    - *judged on training data*: there is no other part.
    - *intervals too narrow*, *too wide*: their coverage is off by three standard errors.
    - *overconfident*, *underconfident*: the calibration error is above 0.02 and three standard
      errors above what a calibrated model shows on as many examples.
    - *edge of the range*: λ is the smallest or the largest that was fitted.
    - *nothing left*: no weight is kept, or no latent dimension is in use.
    - *nothing removed*: every weight is kept, or every latent dimension is in use.
    """
    remarks = [
        _not_converged(checks),
        _far_from_its_target(checks),
        _judged_in_sample(checks),
        _intervals(checks),
        _confidence(checks),
        _at_the_edge(checks),
        _nothing_left(checks),
        _nothing_removed(checks),
    ]
    return [remark for remark in remarks if remark is not None]


def measured_lines(checks: FitChecks) -> list[str]:
    """What was looked at, a line each, also where nothing is amiss."""
    k, rising = checks.pareto_k, checks.no_rising
    lines = [
        f"Pareto k̂ of the guide, {checks.pareto_draws:,} draws: {k:.2f}"
        if k is not None
        else f"Pareto k̂ of the guide: {checks.no_pareto_k}",
        f"Convergence: not looked at, {rising}"
        if rising
        else f"Convergence: the bound {'still rose' if checks.rising else 'had stopped rising'}",
    ]
    if checks.coverage is not None:
        lines.append(
            f"Coverage of the {100 * LEVEL:.0f} % intervals, {checks.part} part, "
            f"{INTERVAL_DRAWS} draws: {100 * checks.coverage:.1f} %"
        )
    if checks.calibration is not None:
        error, _, mean, deviation = _calibration_error(checks.calibration, checks.examples)
        lines.append(
            f"Calibration error, {checks.part} part: {error:.3f}; a calibrated model would show "
            f"{mean:.3f} ± {deviation:.3f}"
        )
    return lines


def _not_converged(checks: FitChecks) -> Remark | None:
    if checks.rising is None:
        return None
    text, _, advice = checks.rising.partition(";")
    advice = advice.strip() or "give more steps"
    return Remark(
        "not converged",
        f"The bound still rose: {text.removeprefix('not converged: ').strip()}.",
        f"{advice[0].upper()}{advice[1:]}. Until then every figure of this page may change.",
    )


def _far_from_its_target(checks: FitChecks) -> Remark | None:
    k, limit = checks.pareto_k, largest_pareto_k(checks.pareto_draws)
    if k is None or k <= limit:
        return None
    return Remark(
        "Pareto k̂ too high",
        f"k̂ = {k:.2f} over {checks.pareto_draws} draws, above {limit:.2f}: the guide is not close "
        f"to the posterior at λ = {checks.kl_weight:g} that it stands for. Widths and correlations "
        "of weights may be wrong; with many weights this is the rule.",
        "Judge predictions by held-out data, as here, rather than by the widths of weights. A "
        "richer guide, or a smaller model, comes closer.",
    )


def _judged_in_sample(checks: FitChecks) -> Remark | None:
    if checks.part != "train":
        return None
    return Remark(
        "judged on training data",
        "There is no held-out part, so metrics and calibration are those of the examples that the "
        "model was fitted to, and too good.",
        "Hold rows out: --test 0.2, or test= of bn.data.",
    )


def _intervals(checks: FitChecks) -> Remark | None:
    if checks.coverage is None:
        return None
    off = checks.coverage - LEVEL
    if abs(off) <= _ERRORS * math.sqrt(LEVEL * (1 - LEVEL) / checks.examples):
        return None
    text = (
        f"The {100 * LEVEL:.0f} % predictive intervals hold {100 * checks.coverage:.0f} % of "
        f"{checks.examples:,} {checks.part} examples."
    )
    if off < 0:
        return Remark("intervals too narrow", f"{text} They are too narrow.", _wider(checks))
    return Remark(
        "intervals too wide",
        f"{text} They are too wide.",
        "Look at the noise scale: learn it, or give a smaller one; train longer.",
    )


def _confidence(checks: FitChecks) -> Remark | None:
    if checks.calibration is None:
        return None
    error, over, mean, deviation = _calibration_error(checks.calibration, checks.examples)
    if error <= max(_LEAST_ECE, mean + _ERRORS * deviation):
        return None
    text = (
        f"The calibration error is {error:.3f}, where a calibrated model would show {mean:.3f} ± "
        f"{deviation:.3f} on {checks.examples:,} examples: predictions are too "
    )
    if over > 0:
        return Remark("overconfident", f"{text}sure by {over:.3f} on average.", _wider(checks))
    return Remark(
        "underconfident",
        f"{text}unsure by {-over:.3f} on average.",
        "Train longer, or take a smaller λ: a large one holds the weights near the prior.",
    )


def _wider(checks: FitChecks) -> str:
    if checks.kl_weight < 1:
        return (
            f"λ = {checks.kl_weight:g} makes a posterior that is narrower than prior and data say: "
            "take one nearer 1."
        )
    return (
        "Stop earlier by held-out data (--validation, --patience), take a smaller network or a "
        "larger λ, and average over restarts."
    )


def _calibration_error(bins: Array, examples: int) -> tuple[float, float, float, float]:
    """The error, mean confidence above accuracy, and what chance makes of a calibrated model.

    Of that the mean and the deviation of Σ_b s_b |a_b − c_b|, where the accuracy a_b of a bin with
    a share s_b of n examples is normal around its confidence c_b with variance
    c_b (1 − c_b) / (n s_b).
    """
    confidence, accuracy, share = bins[:, bins[2] > 0]
    error = float((share * np.abs(accuracy - confidence)).sum())
    over = float((share * (confidence - accuracy)).sum())
    spread = share * np.sqrt(confidence * (1 - confidence) / (share * examples))
    mean = float(spread.sum()) * math.sqrt(2 / math.pi)
    return error, over, mean, math.sqrt(float((spread**2).sum()) * (1 - 2 / math.pi))


def _at_the_edge(checks: FitChecks) -> Remark | None:
    if checks.kl_weight_range is None or checks.kl_weight == 0:
        return None
    low, high = checks.kl_weight_range
    for end, word, further in ((low, "smallest", "smaller"), (high, "largest", "larger")):
        if end > 0 and abs(math.log(checks.kl_weight / end)) < _AT_AN_END:
            return Remark(
                "edge of the range",
                f"λ = {checks.kl_weight:g} is the {word} that was fitted ({low:g} to {high:g}).",
                f"Where it was chosen, fit a range that goes on to {further} λ: the best may lie "
                "beyond. Maps over λ are also least certain at their ends.",
            )
    return None


def _nothing_left(checks: FitChecks) -> Remark | None:
    if checks.latents is not None and not checks.latents[1]:
        return Remark(
            "nothing left",
            f"None of the {checks.latents[0]} latent dimensions is in use: codes say nothing of "
            "the examples, which are all decoded alike.",
            "Let λ rise slowly (--kl-warmup 0.3), or take a smaller λ, a smaller lr, more steps or "
            "another seed.",
        )
    if not checks.parameters or checks.kept:
        return None
    return Remark(
        "nothing left",
        f"None of the {checks.parameters:,} weights is kept: predictions do not depend on the "
        "inputs.",
        "Take a smaller λ, or a smaller share of weights to remove.",
    )


def _nothing_removed(checks: FitChecks) -> Remark | None:
    if checks.latents is not None and checks.latents[0] == checks.latents[1]:
        return Remark(
            "nothing removed",
            f"All {checks.latents[0]} latent dimensions are in use by every measure.",
            "Train longer, give more latents to see how many are needed, or a larger λ.",
        )
    if not checks.parameters or checks.kept < checks.parameters:
        return None
    if checks.superfluous:
        advice = (
            f"{checks.superfluous:,} of them may go, see the sizes below: bayesnas prune RUN "
            "--fraction, or by a --threshold."
        )
    else:
        advice = "Nor is any superfluous: take a larger λ, a smaller prior scale or a sparse prior."
    return Remark("nothing removed", f"All {checks.kept:,} weights are kept.", advice)
