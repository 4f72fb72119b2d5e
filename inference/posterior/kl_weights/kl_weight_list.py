"""What a fit of several KL weights returns: a posterior at each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Self

from bayesnas.inference.config.settings import check_kl_weight
from bayesnas.inference.posterior.kl_weights.kl_path import KLWeightPath
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.typed import typed

_GRID = 9  # KL weights of a range


class Posteriors(KLWeightPath):
    """q(w, Γ) at several KL weights, each fitted by itself.

    Made by ``bayesnas.fit`` with ``kl_weight=[...]`` and by ``bayesnas.load``. Iterating gives the
    posteriors in the order of the list. The chains are the restarts of the first λ, then those of
    the next.

    >>> import torch, bayesnas as bn
    >>> data = (torch.randn(30, 4), torch.arange(30) % 3)
    >>> model = bn.models.GaussianNet(bn.nn.mlp([4, 5, 3]))
    >>> posts = bn.fit(model, data, kl_weight=[0.1, 10], steps=5)
    >>> posts.at(10)
    Posterior(GaussianNet 4–5–3 on arrays, kl_weight=10)
    >>> [post.kl_weight for post in posts]
    [0.1, 10.0]
    >>> posts.at(1)
    Traceback (most recent call last):
    ...
    ValueError: kl_weight must be one of those fitted, 0.1, 10, got 1
    """

    _called = "a fit of several KL weights"

    @property
    def kl_weights(self) -> tuple[float, ...]:
        """The fitted λ."""
        return self.settings.kl_weights or ()

    def _kl_weights_down_to_one(self) -> list[float]:
        return [kl_weight for kl_weight in self.kl_weights if kl_weight >= 1]

    @typed()
    def at(self, kl_weight: float, **metaparameters: float) -> Posterior:
        """The posterior at one of the fitted KL weights.

        Raises:
            ValueError: for another λ; the message says which there are; or for a metaparameter.
        """
        check_kl_weight(kl_weight)
        if metaparameters:
            raise ValueError(
                f"{', '.join(metaparameters)} can't be chosen: these are fits of KL weights alone"
            )
        if kl_weight not in self.kl_weights:
            raise ValueError(
                f"kl_weight must be one of those fitted, {self.settings.kl_weight_text()}, "
                f"got {kl_weight!r}"
            )
        index, each = self.kl_weights.index(kl_weight), self.chains // len(self.kl_weights)
        settings = self.settings.of_chain(index * self.settings.restarts)
        run = dataclasses.replace(self.run, settings=settings)
        return Posterior(run, self._chains[index * each : (index + 1) * each], self.example)

    @typed()
    def chain(self, index: int) -> Self:
        """Return the fits of one restart, at every KL weight.

        Raises:
            ValueError: for an index that no restart has.
        """
        posteriors = [self.at(kl_weight).chain(index) for kl_weight in self.kl_weights]
        chains = [chain for post in posteriors for chain in post._chains]
        return type(self)(self.run, chains, self.example)

    def __len__(self) -> int:
        """Number of KL weights."""
        return len(self.kl_weights)

    def __iter__(self) -> Iterator[Posterior]:
        """The posterior at every KL weight."""
        return (self.at(kl_weight) for kl_weight in self.kl_weights)


def kl_weights_to_choose_from(
    posts: KLWeightPath, kl_weights: Sequence[float] | None = None
) -> Sequence[float]:
    """Those given; else those that were fitted, or nine over a range.

    Raises:
        ValueError: for none.
    """
    if kl_weights is not None and not len(kl_weights):
        raise ValueError("kl_weights must hold at least one KL weight, got none")
    if kl_weights is not None:
        return kl_weights
    if isinstance(posts, Posteriors):
        return posts.kl_weights
    amortization = posts.settings.amortization
    assert amortization is not None
    return [amortization.span.value(index / (_GRID - 1)) for index in range(_GRID)]
