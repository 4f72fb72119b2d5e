"""What a criterion may look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from bayesnas.pruning.criteria.curvature import SampleLoss, curvature_matrix
from bayesnas.pruning.criteria.relative_density import check_gaussian

MOST_WEIGHTS = 8192
"""Most weights of which a whole curvature matrix is taken; as many take 537 MB, several times."""


@dataclass(frozen=True)
class Subject:
    """The weights that a criterion ranks, and what is known of them; by site throughout.

    Attributes:
        locs: values, or posterior means.
        keep: boolean, false where a weight is removed already.
        scales: posterior deviations; empty where there is no posterior.
        prior_scales: deviations of Gaussian priors of mean 0, broadcast to the weights; empty
            where the prior is another one.
        loss: of the network on training data; None where there are no data.
        seed: of a random order.
        owner: what has the weights, for messages.
    """

    locs: Mapping[str, Tensor]
    keep: Mapping[str, Tensor]
    scales: Mapping[str, Tensor] = field(default_factory=dict)
    prior_scales: Mapping[str, Tensor] = field(default_factory=dict)
    loss: SampleLoss | None = None
    seed: int = 0
    owner: str = "a plain module"

    def __post_init__(self) -> None:
        """Check that the numbers are numbers, of one shape."""
        for site, loc in self.locs.items():
            scale = self.scales[site] if self.scales else torch.zeros_like(loc)
            check_gaussian(f" of site {site!r}", loc, scale)

    def posterior(self, by: str) -> Mapping[str, Tensor]:
        """Posterior deviations.

        Raises:
            TypeError: there is no posterior.
        """
        if not self.scales:
            raise TypeError(
                f"by={by!r} needs a posterior on the weights, got {self.owner} with one value "
                "each: fit a GaussianNet to it and prune what bayesnas.fit returns"
            )
        return self.scales

    def prior(self, by: str) -> Mapping[str, Tensor]:
        """Deviations of the prior.

        Raises:
            TypeError: the prior is not Gaussian.
        """
        self.posterior(by)
        if not self.prior_scales:
            raise TypeError(
                f"by={by!r} needs Gaussian priors of mean 0 on the weights, as a GaussianNet has, "
                f"got {self.owner}"
            )
        return self.prior_scales

    def sample_loss(self, by: str) -> SampleLoss:
        """The loss on training data.

        Raises:
            ValueError: there are no data.
            TypeError: a weight is no parameter of the network.
        """
        if self.loss is None:
            raise ValueError(
                f"by={by!r} looks at the loss on the training data, which must be given: "
                "training=data.train"
            )
        named = dict(self.loss.net.named_parameters())
        strange = [
            s for s, loc in self.locs.items() if s not in named or named[s].shape != loc.shape
        ]
        if strange:
            raise TypeError(
                f"by={by!r} needs weights that are parameters of one network, got {self.owner} "
                f"whose {strange[0]!r} is none"
            )
        return self.loss

    def curvature(self, by: str) -> Tensor:
        """The Gauss–Newton matrix over all weights, ``[weights, weights]``; not to be changed.

        Raises:
            ValueError: there are more weights than :data:`MOST_WEIGHTS`, or no data.
        """
        self.sample_loss(by)
        size = sum(loc.numel() for loc in self.locs.values())
        if size > MOST_WEIGHTS:
            raise ValueError(
                f"by={by!r} takes a matrix over all pairs of weights, for at most "
                f"{MOST_WEIGHTS:,} of them, got {size:,}: by='obd' takes its diagonal alone"
            )
        return self._curvature

    def laplace(self, by: str) -> tuple[Tensor, Tensor]:
        """Precisions of the Laplace posterior and of its prior, as :meth:`curvature` refuses.

        Returns:
            N/λ times the curvature, ``[weights, weights]``, and the prior's 1/s², ``[weights]``;
            0 where a weight has no prior.
        """
        loss, curvature = self.sample_loss(by), self.curvature(by)
        scale = loss.precision_scale or float(len(loss.x))
        prior = {
            site: torch.as_tensor(loss.penalty.get(site, 0.0)).to(curvature).expand(loc.shape)
            for site, loc in self.locs.items()
        }
        return scale * curvature, scale * self.flat(prior)

    def flat(self, values: Mapping[str, Tensor]) -> Tensor:
        """Values by site, one after another, ``[weights]``."""
        return torch.cat([values[site].detach().flatten() for site in self.locs])

    def by_site(self, values: Tensor) -> dict[str, Tensor]:
        """The reverse of :meth:`flat`."""
        pieces = values.split([loc.numel() for loc in self.locs.values()])
        shaped = zip(self.locs.items(), pieces, strict=True)
        return {site: piece.reshape(loc.shape) for (site, loc), piece in shaped}

    @cached_property
    def _curvature(self) -> Tensor:
        assert self.loss is not None
        return curvature_matrix(self.loss, list(self.locs))
