"""What a model learns as numbers, without a posterior."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

_LOG = "log_"


class PointEstimates(nn.Module):
    """The part of :class:`~bayesnas.models.base.BayesianModel` on what it learns as numbers.

    Attributes:
        estimated: names, or their first parts, of trained parameters that are neither of the guide
            nor of the prior, such as those of the likelihood.
    """

    estimated: ClassVar[tuple[str, ...]] = ("likelihood",)

    def prior_parameters(self) -> tuple[str, ...]:
        """Names, or their first parts, of the trained parameters h of p(w, Γ | h); maybe none."""
        return ()

    def point_estimates(self) -> dict[str, Tensor]:
        """Parameters of the prior, of the likelihood and their like, by name.

        A parameter ``likelihood.log_noise_scale`` is given as ``noise_scale``, its exponential.
        """
        first = (*self.prior_parameters(), *self.estimated)
        estimates = {}
        for name, value in self.named_parameters():
            if value.requires_grad and any(name == n or name.startswith(f"{n}.") for n in first):
                leaf = name.rpartition(".")[2]
                is_log = leaf.startswith(_LOG)
                estimates[leaf.removeprefix(_LOG)] = (
                    value.detach().exp() if is_log else value.detach()
                )
        return estimates

    def point_estimate_dims(self) -> dict[str, tuple[str, ...]]:
        """Names of the dims of :meth:`point_estimates` that have names; none by default."""
        return {}
