"""A penalty on the structure in the place of a prior."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints, register_kl

from bayesnas.distributions.shape import Shape


class Penalty(TorchDistribution):
    """p(γ) ∝ exp⟨γ, logits⟩ without its normaliser; draws are vertices, weighed like that.

    Its "divergence" from a guide is the penalty −⟨E q, logits⟩ alone, E q being what the guide
    gives as its mean: softmax α for a point and for a Gumbel-Softmax.

    Args:
        logits: −n/c, ``[edges, K]``.
        is_cube: whether several operations of an edge may be there.
    """

    is_density = False
    arg_constraints = {}  # noqa: RUF012
    support = constraints.independent(constraints.unit_interval, 2)

    def __init__(self, logits: Tensor, *, is_cube: bool) -> None:
        """Keep the logits; see the class."""
        self.logits = logits
        self._vertices = (dist.Bernoulli if is_cube else dist.OneHotCategorical)(logits=logits)
        super().__init__(torch.Size(), logits.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """⟨γ, logits⟩, summed over the edges."""
        return (value * self.logits).sum((-2, -1))

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw vertices."""
        vertices: Tensor = self._vertices.sample(torch.Size(sample_shape))
        return vertices


@register_kl(Independent, Penalty)  # type: ignore[untyped-decorator]
def _penalty(q: Independent[Distribution], p: Penalty) -> Tensor:
    return -(q.mean * p.logits).sum((-2, -1))
