"""One label or several a row, each 0 or 1."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import Tensor

from bayesnas.likelihoods.base import Likelihood, check_same_shape, flat, rows


class Bernoulli(Likelihood):
    """y ∈ {0, 1} with probability σ(f), f of shape ``[n]``, ``[n, 1]`` or ``[n, k]``.

    With k labels a row they are independent given f; the log-likelihood of a row is their sum, and
    an accuracy is the share of all n k labels that are right.

    >>> import torch
    >>> float(Bernoulli()(torch.zeros(1)).log_prob(torch.ones(1)).exp())
    0.5
    """

    name = "bernoulli"
    task = "classification"
    outputs = "logit of P(y = 1)"

    def forward(self, output: Tensor) -> dist.TorchDistribution:
        """Bernoulli with logits ``[n]``, or ``[n, k]`` as one event."""
        logits = flat(output)
        return rows(dist.Bernoulli(logits=logits), logits)

    def target(self, y: Tensor) -> Tensor:
        """Zeros and ones as floating-point numbers."""
        return y if y.is_floating_point() else y.to(torch.get_default_dtype())

    def check(self, output_shape: torch.Size, y: Tensor, classes: int | None = None) -> None:
        """Zeros and ones of the shape of the outputs."""
        check_same_shape("bernoulli", output_shape, y)
        if not bool(((y == 0) | (y == 1)).all()):
            raise ValueError(
                "y must hold zeros and ones for likelihood='bernoulli', "
                f"got values from {y.min().item():g} to {y.max().item():g}"
            )
