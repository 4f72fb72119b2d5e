"""A Gaussian over a whole weight tensor, some of whose entries may be removed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints, register_kl

from bayesnas.checks import instance
from bayesnas.distributions.gaussian_divergence import gaussian_divergence, positive_exp
from bayesnas.distributions.shape import Shape
from bayesnas.distributions.unbatched import Unbatched
from bayesnas.nn.lazy.gaussian_tensor import GaussianTensor
from bayesnas.typed import typed


@typed()
class GaussianWeights(Unbatched):
    r"""Independent :math:`w_i \sim N(\mu_i, \sigma_i^2)`; the event is the whole tensor.

    Entries where ``keep`` is false are removed from the model: they are 0 with probability
    one and add nothing to ``log_prob`` or to a KL divergence.

    Args:
        loc: means, broadcastable to ``shape``.
        scale: standard deviations, positive, broadcastable to ``shape``; or
        log_scale: their logarithms (one of the two), exact where σ is below the smallest number
            of its type or above the largest, to which ``scale`` is rounded then.
        shape: event shape; by default that of ``loc`` and ``scale`` broadcast together.
        keep: boolean tensor of the event shape, or None where every entry is kept.
        local: draw a :class:`~bayesnas.nn.GaussianTensor`, which stays a distribution until
            a layer consumes it, instead of a plain tensor.

    Shapes:
        event ``shape``; batch ``()``.

    Raises:
        ValueError: for both or neither of ``scale`` and ``log_scale``, or a scale that is not > 0.

    >>> import torch
    >>> q = GaussianWeights(torch.tensor([0.5, 2.0]), torch.tensor([0.1, 0.1]))
    >>> p = GaussianWeights(torch.tensor(0.0), torch.tensor(1.0), shape=torch.Size([2]))
    >>> torch.distributions.kl_divergence(q, p)  # Σ ln(s/σ) + (σ² + μ²)/2s² − ½
    tensor(5.7402)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        scale: Tensor | None = None,
        shape: torch.Size | None = None,
        keep: Tensor | None = None,
        local: bool = False,
        log_scale: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        """Keep the parameters as given, without broadcasting them; see the class."""
        if scale is None:
            if log_scale is None:
                raise ValueError("scale or log_scale must be given")
            scale = positive_exp(log_scale)
        elif log_scale is not None:
            raise ValueError("scale or log_scale must be given, and not both")
        self.loc = loc
        self.scale = scale
        self.keep = keep
        self.local = local
        self._log_scale = log_scale
        if shape is None:
            shape = torch.broadcast_shapes(loc.shape, scale.shape)
        super().__init__(torch.Size(), shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> constraints.Constraint:
        """All real tensors of the event shape."""
        return constraints.independent(constraints.real, len(self.event_shape))

    @property
    def log_scale(self) -> Tensor:
        """Ln σ, of the shape of ``scale``."""
        return self.scale.log() if self._log_scale is None else self._log_scale

    @property
    def mean(self) -> Tensor:
        """Means, of the event shape; 0 where an entry is removed."""
        return self._masked(self.loc.expand(self.event_shape))

    @property
    def variance(self) -> Tensor:
        """Variances, of the event shape; 0 where an entry is removed."""
        return self._masked(self.scale.square().expand(self.event_shape))

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw weights, differentiable in ``loc`` and ``scale``.

        Returns:
            a tensor of ``sample_shape + event_shape``, or a
            :class:`~bayesnas.nn.GaussianTensor` of the event shape where ``local`` is set.
        """
        loc, scale = self._masked(self.loc), self._masked(self.scale)
        if self.local and not sample_shape:
            return GaussianTensor(loc.expand(self.event_shape), scale.expand(self.event_shape))
        noise = torch.randn(
            self._extended_shape(torch.Size(sample_shape)),
            dtype=loc.dtype,
            device=self.scale.device,
        )
        return loc + scale * noise

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of the kept entries, summed over the event."""
        standardised = (value - self.loc) / self.scale
        log_density = -0.5 * standardised.square() - self.log_scale - _HALF_LOG_TWO_PI
        return self._masked(log_density).flatten(-len(self.event_shape) or -1).sum(-1)

    def entropy(self) -> Tensor:
        """Differential entropy of the kept entries, in nats."""
        entropy = self._masked((self.log_scale + 0.5 + _HALF_LOG_TWO_PI).expand(self.event_shape))
        return entropy.sum()

    def divergence(self, other: GaussianWeights) -> Tensor:
        """KL divergence to another Gaussian over the same tensor, of the entries kept here; ``[]``.

        Raises:
            TypeError: for another kind of distribution.
        """
        return self._masked(self.divergences(other).expand(self.event_shape)).sum()

    def divergences(self, other: GaussianWeights) -> Tensor:
        """KL divergence of each entry, also of those removed; broadcasts to the event shape.

        Raises:
            TypeError: for another kind of distribution.
        """
        if not isinstance(other, GaussianWeights):
            instance("other", other, GaussianWeights)
        return gaussian_divergence(
            self.loc, self.log_scale, other.loc, other.scale, other.log_scale
        )

    def _masked(self, value: Tensor) -> Tensor:
        return value if self.keep is None else value * self.keep


_HALF_LOG_TWO_PI = 0.9189385332046727


@register_kl(GaussianWeights, GaussianWeights)  # type: ignore[untyped-decorator]
def _kl_gaussian_weights(q: GaussianWeights, p: GaussianWeights) -> Tensor:
    return q.divergence(p)
