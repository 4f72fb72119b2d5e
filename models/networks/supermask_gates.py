"""Masks of a supermask net: drawn by Bernoulli gates, or the largest scores of a layer."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from bayesnas.distributions import StraightThroughBernoulli
from bayesnas.distributions.shape import Shape


class PointMask(StraightThroughBernoulli):
    """Bernoulli masks for which the likelier value stands where latents are set to their means.

    >>> PointMask(logits=torch.tensor([-1.0, 2.0])).mean
    tensor([0., 1.])
    """

    @property
    def mean(self) -> Tensor:
        """The likelier value; unlike E m a mask."""
        logits: Tensor = self.logits
        return (logits > 0).to(logits)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw masks with the gradient of the base class, in a few operations: there are many."""
        logits = self.logits.expand(self._extended_shape(torch.Size(sample_shape)))
        before = logits.detach().sigmoid()
        mask: Tensor = (torch.rand_like(before) < before).to(before)
        middle = (before + mask) / 2
        slope = 2 * middle * (1 - middle) - before * (1 - before) / 2
        through: Tensor = mask + slope * (logits - logits.detach())
        return through  # exactly 0 or 1


def prior_masks(inclusion: float, like: Tensor) -> dist.Bernoulli:
    """Masks of the prior, independent, each true with a probability."""
    return dist.Bernoulli(probs=torch.full_like(like, inclusion))


def largest_scores(scores: Tensor, kept: Tensor | None, share: float) -> Tensor:
    """Edge-popup: 1 at the share of the largest |scores| of a layer, 0 elsewhere.

    The gradient passes as if the mask were |score| (Ramanujan et al. 2020).

    Args:
        scores: any shape.
        kept: boolean, of the same shape: false where the mask is 0 in any case.
        share: of the scores that are kept, in (0, 1].

    >>> largest_scores(torch.tensor([0.1, -3.0, 2.0, 0.5]), None, 0.5)
    tensor([0., 1., 1., 0.])
    """
    size = scores.abs() if kept is None else scores.abs() * kept
    total = size.numel() if kept is None else int(kept.sum())
    count = max(1, round(share * total)) if total else 0
    if not count:
        return torch.zeros_like(scores)
    largest = size.detach().flatten().topk(count).indices  # so many also where some are equal
    mask = torch.zeros_like(scores).flatten().index_fill(0, largest, 1.0).view_as(scores)
    return mask + (size - size.detach())  # exactly 0 and 1


def kept_over_open(mask: Tensor, kept: Tensor | None) -> Tensor:
    """By what the weights that a mask leaves grow, so that those of a layer add up as all would.

    Dynamic weight rescaling (Zhou et al. 2019): weights over open gates, without a gradient.

    >>> kept_over_open(torch.tensor([1.0, 0.0, 1.0, 0.0]), None)
    tensor(2.)
    """
    total = mask.numel() if kept is None else kept.sum().to(mask)
    return total / mask.detach().sum().clamp_min(1.0)


class FrozenWeights(nn.Module):
    """Weights that no fit trains, by site; saved with ``state_dict``.

    Args:
        initial: by site.

    >>> frozen = FrozenWeights({"layer1.weight": torch.ones(2)})
    >>> frozen["layer1.weight"]
    tensor([1., 1.])
    """

    def __init__(self, initial: dict[str, Tensor]) -> None:
        """Create one buffer a site; see the class."""
        super().__init__()
        self._names = {site: site.replace(".", "/") for site in initial}
        for site, value in initial.items():
            self.register_buffer(self._names[site], value.detach().clone())

    def __getitem__(self, site: str) -> Tensor:
        """The weights of a site."""
        return self.get_buffer(self._names[site])

    @torch.no_grad()
    def assign(self, values: dict[str, Tensor]) -> None:
        """Overwrite the weights of the sites given."""
        for site, value in values.items():
            self[site].copy_(value)
