"""Ordered classes."""

from __future__ import annotations

import math

import pyro.distributions as dist
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesnas.checks import whole_number
from bayesnas.likelihoods.base import Likelihood, flat


class Ordinal(Likelihood):
    r"""Ordered levels y ∈ {0…C−1} by cumulative logits, f of shape ``[n]`` or ``[n, 1]``.

    .. math:: P(y \le j \mid f) = \sigma(c_j - f), \qquad c_0 < \ldots < c_{C-2}

    the proportional odds model. The cut points c are learned by maximum likelihood, c₀ and the
    logarithms of the gaps between them; they start where f = 0 makes all levels alike.

    Args:
        levels: C ≥ 2; None takes that of the training data when it is fitted.

    Raises:
        ValueError: naming the argument, what came and what was expected.

    References:
        McCullagh, *Regression models for ordinal data*, 1980.

    >>> Ordinal(4)(torch.zeros(1)).probs
    tensor([[0.2500, 0.2500, 0.2500, 0.2500]], grad_fn=<SoftmaxBackward0>)
    """

    name = "ordinal"
    task = "classification"
    outputs = "f, of which P(y <= j) is sigmoid(cut j - f)"
    _like: Tensor  # of whose type and device the cut points are

    def __init__(self, levels: int | None = None) -> None:
        """Create the cut points; see the class."""
        super().__init__()
        self.levels = None if levels is None else whole_number("levels", levels, 2)
        self.register_buffer("_like", torch.zeros(()), persistent=False)
        if self.levels is not None:
            self._create_cuts(self.levels)

    def _create_cuts(self, levels: int) -> None:
        shares = torch.arange(1, levels, dtype=torch.float64) / levels
        cuts = shares.logit().to(self._like)
        self.first_cut = nn.Parameter(cuts[0].clone())
        self.log_gaps = nn.Parameter(cuts.diff().log())

    @property
    def cuts(self) -> Tensor:
        """Current cut points, ``[C − 1]``, rising."""
        if self.levels is None:
            raise ValueError(
                "levels, their number, is not known before a fit: give "
                "likelihood=bayesnas.likelihoods.Ordinal(levels)"
            )
        return self.first_cut + F.pad(self.log_gaps.exp().cumsum(0), (1, 0))

    def forward(self, output: Tensor) -> dist.TorchDistribution:
        """Categorical with the probabilities of the levels ``[n, C]``."""
        below = self.cuts - flat(output).unsqueeze(-1)  # logits of y <= j
        edges = F.logsigmoid(below), F.logsigmoid(-below)
        # σ(b) − σ(a) = σ(b) σ(−a) (1 − exp(a − b)) for a < b, in logs.
        gap = torch.log(-torch.expm1(-self.log_gaps.exp()))
        between = edges[0][..., 1:] + edges[1][..., :-1] + gap
        logits = torch.cat([edges[0][..., :1], between, edges[1][..., -1:]], dim=-1)
        return dist.Categorical(logits=logits)

    def check(self, output_shape: torch.Size, y: Tensor, classes: int | None = None) -> None:
        """One output and one level in 0…C−1 an example."""
        if y.is_floating_point() or y.ndim != 1:
            raise ValueError(
                f"y must hold whole levels of shape [n] for likelihood={self.name!r}, "
                f"got {y.dtype} of shape {list(y.shape)}"
            )
        if math.prod(output_shape[1:]) != 1:
            raise ValueError(
                f"net must give one output an example for likelihood={self.name!r}, whatever the "
                f"number of levels, got {['n', *output_shape[1:]]}"
            )
        low, high = int(y.min()), max(int(y.max()), (classes or 1) - 1)
        if low < 0 or (self.levels is not None and high >= self.levels):
            raise ValueError(
                f"y must hold levels in 0…{(self.levels or high + 1) - 1} for "
                f"likelihood={self.name!r}, got levels from {low} to {high}"
            )

    def size_for(self, classes: int | None) -> None:
        """Take the number of levels of the training data, where it was left open."""
        if self.levels is None and classes is not None:
            self.levels = max(classes, 2)
            self._create_cuts(self.levels)

    def config(self) -> dict[str, object]:
        """Arguments of ``make_likelihood`` that rebuild it, as JSON values."""
        if self.levels is None:
            return super().config()
        return {"likelihood": {"name": self.name, "levels": self.levels}}
