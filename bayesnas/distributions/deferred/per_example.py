"""Latent variables of all examples that an estimate draws anew for every one of them."""

from __future__ import annotations

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import kl_divergence, register_kl

from bayesnas.distributions.deferred.wrapper import OfSource
from bayesnas.distributions.shape import Shape
from bayesnas.distributions.unbatched import Unbatched
from bayesnas.nn.lazy.lazy_tensor import LazyTensor


class LazyForExamples(LazyTensor):
    """A draw that can be asked for anew for every example.

    Args:
        single: the draw of those that want one for all examples.
        source: the distribution it comes from.
    """

    source: TorchDistribution
    _each: Tensor | None

    def __init__(self, single: Tensor, source: TorchDistribution) -> None:
        """Keep draw and distribution; see the class."""
        self._draw = single
        self.source = source
        self._each = None

    def each(self, examples: int) -> Tensor:
        """A draw for each example, ``[examples, ...]``; the same ones every time."""
        if self._each is None or len(self._each) != examples:
            self._each = self.source.rsample(torch.Size([examples]))
        return self._each

    def drawn_so_far(self) -> Tensor:
        """The draws of the examples, or where none were asked for, one, ``[1, ...]``."""
        return self.draw()[None] if self._each is None else self._each


def for_examples(value: Tensor, examples: int) -> Tensor:
    """What ``examples`` examples see of a draw: one each where it allows that, else the draw."""
    return value.each(examples) if isinstance(value, LazyForExamples) else value


class EveryExample(OfSource, Unbatched):
    r"""A variable shared by all examples, drawn anew for each to estimate a bound.

    The bound adds up :math:`E_q \log p(y_i | x_i, z)` over the examples, and each term only asks
    that its z be a draw of q. With draws of their own the terms are independent, and their sum has
    less variance (as in local reparameterisation; Kingma, Salimans, Welling 2015). ``log_prob`` of
    such draws is its mean over them, so log q − log p estimates the divergence, once.

    Args:
        source: a distribution without a batch shape.
        deferred: draw :class:`LazyForExamples`; False for a prior, whose own draws are one.

    >>> import torch, pyro.distributions as dist
    >>> z = EveryExample(dist.Normal(torch.zeros(2), 1.0).to_event(1)).rsample()
    >>> z.shape, z.each(5).shape
    (torch.Size([2]), torch.Size([5, 2]))
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(
        self,
        source: TorchDistribution,
        deferred: bool = True,
        validate_args: bool | None = None,
    ) -> None:
        """Keep the distribution; see the class."""
        self.source = source
        self.deferred = deferred
        self.has_rsample = source.has_rsample
        super().__init__(torch.Size(), source.event_shape, validate_args=validate_args)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Return one deferred draw, or for a ``sample_shape`` ordinary ones."""
        draw_from = self.source.rsample if self.source.has_rsample else self.source.sample
        draw: Tensor = draw_from(torch.Size(sample_shape))
        if sample_shape or not self.deferred:
            return draw
        return LazyForExamples(draw, self.source)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of a value, the mean of it over deferred draws."""
        log_prob: Tensor
        if isinstance(value, LazyForExamples):
            log_prob = self.source.log_prob(value.drawn_so_far()).mean(0)
        else:
            log_prob = self.source.log_prob(value)
        return log_prob


@register_kl(EveryExample, EveryExample)  # type: ignore[untyped-decorator]
def _kl_every_example(q: EveryExample, p: EveryExample) -> Tensor:
    return kl_divergence(q.source, p.source)
