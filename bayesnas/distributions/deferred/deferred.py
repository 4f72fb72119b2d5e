"""Distributions whose draws wait: what consumes a draw may take an expectation instead."""

from __future__ import annotations

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, kl_divergence, register_kl

from bayesnas.distributions.deferred.wrapper import OfSource
from bayesnas.distributions.shape import Shape
from bayesnas.nn.lazy.lazy_tensor import LazyTensor


class DeferredDraw(LazyTensor):
    """A draw of ``source`` that is not made yet.

    Args:
        like: a tensor of the shape, type and device of a draw.
        source: the distribution it would come from.
    """

    def __init__(self, like: Tensor, source: TorchDistribution) -> None:
        """Keep the distribution; see the class."""
        self.source = source

    def _sample(self) -> Tensor:
        with torch.no_grad():
            draw: Tensor = self.source.sample()
        return draw


class Deferred(OfSource):
    """A distribution, drawn as a :class:`DeferredDraw` that knows where it comes from.

    For guides of models that integrate their latent variables out in closed form: a model that
    finds a :class:`DeferredDraw` puts expectations under ``source`` in place of values, so the
    bound has no noise and gradients reach the parameters although ``source`` itself may have no
    ``rsample``. Anything else that touches the draw gets an ordinary one, without gradient.

    Density, moments and KL divergences are those of ``source``.

    Args:
        source: any distribution.

    >>> import torch
    >>> from bayesnas.distributions import SpikeAndSlab
    >>> w = Deferred(SpikeAndSlab(0.5, torch.ones(3), 0.1).to_event(1)).rsample()
    >>> w.source.mean
    tensor([0.5000, 0.5000, 0.5000])
    """

    arg_constraints = {}  # noqa: RUF012
    has_rsample = True

    def __init__(self, source: TorchDistribution, validate_args: bool | None = None) -> None:
        """Keep the distribution; see the class."""
        self.source = source
        super().__init__(source.batch_shape, source.event_shape, validate_args=validate_args)

    def expand(
        self, batch_shape: Shape, _instance: Distribution | None = None
    ) -> TorchDistribution:
        """Return the same for a source over a larger batch."""
        return Deferred(self.source.expand(torch.Size(batch_shape)), validate_args=False)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Return one deferred draw, or for a ``sample_shape`` ordinary ones."""
        if sample_shape:
            return self.sample(sample_shape)
        return DeferredDraw(self.source.mean.detach(), self.source)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw from the source; no gradient."""
        with torch.no_grad():
            draw: Tensor = self.source.sample(torch.Size(sample_shape))
        return draw

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of the source."""
        log_prob: Tensor = self.source.log_prob(value)
        return log_prob


@register_kl(Deferred, Distribution)  # type: ignore[untyped-decorator]
def _kl_deferred(q: Deferred, p: Distribution) -> Tensor:
    return kl_divergence(q.source, p)
