"""Measures of complexity: KL in nats and bits, parametric complexity, entropy of a structure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from bayesnas.checks import choice, non_negative, positive
from bayesnas.distributions import GaussianWeights

if TYPE_CHECKING:
    import xarray as xr

PriorScales = Literal["none", "layer", "weight"]
"""What has a prior scale of its own: nothing (one for all), every layer, or every weight."""

ScaleRange = tuple[float, float]
ANY_SCALE: ScaleRange = (0.0, math.inf)
"""U_h where any prior scale will do."""


def nats_to_bits(nats: float) -> float:
    """Convert nats to bits: divide by ln 2.

    >>> nats_to_bits(math.log(8))
    3.0
    """
    return nats / math.log(2)


def smallest_gaussian_kl(
    posteriors: Sequence[GaussianWeights], scale_range: ScaleRange = ANY_SCALE
) -> Tensor:
    r"""Min over s of Σ KL(N(μ, σ²) ‖ N(0, s²)) over the kept weights of the posteriors.

    The parametric complexity of a layer whose prior is a centred Gaussian of one scale. Without
    bounds the minimum is at :math:`s^2 = \mathrm{mean}(\mu^2 + \sigma^2)`, and the sum falls up to
    there and rises after it; so a range that leaves it out has its minimum at the nearer end.

    Args:
        posteriors: guides of the weight tensors that share the prior scale.
        scale_range: smallest and largest s, the compact U_h of the definition.

    Returns:
        a scalar, in nats; 0 where every weight is removed.

    Raises:
        ValueError: for a range that is not 0 ≤ low ≤ high, high > 0.

    References:
        Bakhteev, Strijov, *Comprehensive analysis of gradient-based hyperparameter optimization
        algorithms*, 2020, for the definition.

    >>> q = GaussianWeights(torch.tensor([1.0]), torch.tensor([1.0]))
    >>> smallest_gaussian_kl([q])  # s² = 2: ½ ln 2
    tensor(0.3466)
    >>> smallest_gaussian_kl([q], (0.5, 1.0))  # s² = 1: μ²/2
    tensor(0.5000)
    """
    low, high = _checked_range(scale_range)
    dtype = posteriors[0].loc.dtype
    # The squares are taken in double precision, where those of 1e-30 are still numbers.
    means, logs = ([_kept(q, value) for q in posteriors] for value in ("loc", "log_scale"))
    logs_of_all, means_of_all = torch.cat(logs), torch.cat(means)
    kept = len(logs_of_all)
    if kept == 0:
        return torch.zeros((), dtype=dtype, device=posteriors[0].loc.device)
    second_moment = means_of_all.square().mean() + (2 * logs_of_all).exp().mean()
    variance = second_moment.clamp(low**2, high**2)
    excess = second_moment / variance - 1  # 0 but at an end of the range
    return (0.5 * kept * (variance.log() + excess) - logs_of_all.sum()).to(dtype)


def smallest_kl_of_layers(
    layers: Iterable[Sequence[GaussianWeights]], per: PriorScales, scale_range: ScaleRange
) -> Tensor:
    r"""Min over prior scales of Σ KL(N(μ, σ²) ‖ N(0, s²)), each of the scales by itself.

    For ``per="weight"`` it is :math:`\sum \tfrac12 \ln(1 + \mu^2 / \sigma^2)`, the least of all,
    and the relative density at 0 is then :math:`\rho^{-1} \le \exp((e^{2 C_p} - 1) / 2)`: a
    complexity that goes to 0 takes ρ to 1.

    Args:
        layers: guides of the weight tensors of every layer.
        per: what has a prior scale of its own.
        scale_range: smallest and largest scale.

    Returns:
        a scalar, in nats.

    Raises:
        ValueError: naming ``per`` or ``scale_range``.

    >>> q = GaussianWeights(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0]))
    >>> smallest_kl_of_layers([[q]], "weight", ANY_SCALE)  # 0 and ½ ln 2
    tensor(0.3466)
    >>> smallest_kl_of_layers([[q]], "layer", ANY_SCALE)  # ln 1.5
    tensor(0.4055)
    """
    every = [list(layer) for layer in layers]
    choice("per", per, get_args(PriorScales))
    if per == "none":
        return smallest_gaussian_kl([q for layer in every for q in layer], scale_range)
    if per == "layer":
        return torch.stack([smallest_gaussian_kl(layer, scale_range) for layer in every]).sum()
    return torch.stack([_one_by_one(q, scale_range) for layer in every for q in layer]).sum()


def structure_entropy(structure: xr.Dataset) -> float | None:
    r"""Entropy of q(Γ) in nats, from what a posterior says of its structure.

    Zero for a structure that is certain, and ln K for each choice among K that is open.

    Args:
        structure: from ``post.structure()``. Its attribute ``entropy``, or else ``events``, says
            what its values are: probabilities of ``"independent"`` events, or of ``"exclusive"``
            ones along the last dim.

    Returns:
        None for values that are no probabilities, as those of a ``GaussianNet``.

    >>> import xarray as xr
    >>> structure_entropy(xr.Dataset({"gate": ("unit", [0.5, 1.0])}, {}, {"events": "independent"}))
    0.693...
    """
    if "entropy" in structure.attrs:
        return float(structure.attrs["entropy"])
    events = structure.attrs.get("events")
    if events is None:
        return None
    terms = 0.0
    for variable in structure.data_vars.values():
        values = variable.values.astype(np.float64)
        terms += _minus_p_log_p(values)
        if events == "independent":
            terms += _minus_p_log_p(1 - values)
    return terms


def _minus_p_log_p(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    inside = values[values > 0]
    return float(-(inside * np.log(inside)).sum()) + 0.0  # no −0


def _one_by_one(q: GaussianWeights, scale_range: ScaleRange) -> Tensor:
    """Sum over the kept weights of the KL, each at the scale that is best for it."""
    low, high = _checked_range(scale_range)
    mean, log_scale = _kept(q, "loc"), _kept(q, "log_scale")
    if (low, high) == ANY_SCALE:
        # ½ ln(1 + μ²/σ²), which is exact where σ² or μ² would be 0 or infinite.
        terms = 0.5 * torch.logaddexp(torch.zeros_like(mean), 2 * (mean.abs().log() - log_scale))
        return terms.sum().to(q.loc.dtype)
    moment = mean.square() + (2 * log_scale).exp()
    variance = moment.clamp(low**2, high**2)
    terms = 0.5 * (variance.log() + moment / variance - 1) - log_scale
    return terms.sum().to(q.loc.dtype)


def _checked_range(scale_range: ScaleRange) -> ScaleRange:
    low, high = scale_range
    low = non_negative("scale_range", low)
    high = high if high == math.inf else positive("scale_range", high)
    if low > high:
        raise ValueError(f"scale_range must be (low, high) with low <= high, got {scale_range}")
    return low, high


def _kept(q: GaussianWeights, name: str) -> Tensor:
    """Means or log scales of the kept entries, flat and in double precision."""
    value: Tensor = getattr(q, name).expand(q.event_shape).double()
    return value.flatten() if q.keep is None else value[q.keep]
