"""Distributions of one whole tensor, without a batch shape."""

from __future__ import annotations

import torch
from pyro.distributions import TorchDistribution
from torch.distributions import Distribution

from bayesnas.distributions.shape import Shape


class Unbatched(TorchDistribution):
    """A distribution whose event is the whole tensor and whose batch shape is ``()``."""

    def expand(
        self, batch_shape: Shape, _instance: Distribution | None = None
    ) -> TorchDistribution:
        """Return the same distribution for an empty batch shape, else pyro's expansion."""
        if len(batch_shape) == 0:
            return self
        expanded: TorchDistribution = super().expand(torch.Size(batch_shape))
        return expanded
