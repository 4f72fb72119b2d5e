"""The scales of groups of weights as one event, some of which may be removed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints, kl_divergence, register_kl

from bayesnas.distributions.shape import Shape
from bayesnas.distributions.unbatched import Unbatched
from bayesnas.nn.lazy.scaled_tensor import LazyScales
from bayesnas.typed import typed


@typed()
class GroupScales(Unbatched):
    r"""Independent scales :math:`z_g`, one a group; the event is all of them.

    Scales where ``keep`` is false are removed from the model: they are 0 with probability one
    and add nothing to ``log_prob`` or to a KL divergence.

    Args:
        base: distribution of each scale, univariate, of batch shape ``[groups]`` (or ``()``), with
            a ``loc`` of that shape where ``local``.
        keep: boolean ``[groups]``, or None where every group is kept.
        local: draw :class:`~bayesnas.nn.lazy.scaled_tensor.LazyScales`, which a layer draws anew
            for every example, instead of a plain tensor.

    Shapes:
        event ``base.batch_shape``; batch ``()``.

    Raises:
        TypeError: naming an argument of another type.

    >>> import torch, pyro.distributions as dist
    >>> z = GroupScales(dist.LogNormal(torch.zeros(2), 1.0), keep=torch.tensor([True, False]))
    >>> z.mean
    tensor([1.6487, 0.0000])
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(
        self,
        base: Distribution,
        keep: Tensor | None = None,
        local: bool = False,
        validate_args: bool | None = None,
    ) -> None:
        """Wrap the base distribution; see the class."""
        self.base = base
        self.keep = keep
        self.local = local
        self.has_rsample = base.has_rsample
        super().__init__(torch.Size(), base.batch_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> constraints.Constraint:
        """All real vectors where a group is removed, else the support of every scale."""
        inner = self.base.support if self.keep is None else constraints.real
        return constraints.independent(inner, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        """Means ``[groups]``; 0 where a group is removed."""
        return self._masked(self.base.mean)

    @property
    def variance(self) -> Tensor:
        """Variances ``[groups]``; 0 where a group is removed."""
        return self._masked(self.base.variance)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw, differentiably; ``sample_shape + event_shape``, lazily sampled where ``local``."""
        if self.local and not sample_shape:
            like: Tensor = getattr(self.base, "loc")  # noqa: B009  # Distribution declares none
            return LazyScales(like, [self.base], self.keep)
        return self._masked(self.base.rsample(torch.Size(sample_shape)))

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw; ``sample_shape + event_shape``, a plain tensor."""
        with torch.no_grad():
            return self._masked(self.base.sample(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of the kept scales, summed over the event."""
        if self.keep is not None:
            value = torch.where(self.keep, value, 1.0)
        log_density = self.base.log_prob(value)
        dims = list(range(-len(self.event_shape), 0))
        log_density = self._masked(log_density)
        return log_density.sum(dims) if dims else log_density

    def _masked(self, value: Tensor) -> Tensor:
        return value if self.keep is None else torch.where(self.keep, value, 0.0)


@register_kl(GroupScales, GroupScales)  # type: ignore[untyped-decorator]
def _kl_group_scales(q: GroupScales, p: GroupScales) -> Tensor:
    return q._masked(kl_divergence(q.base, p.base)).sum()
