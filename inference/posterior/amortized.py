"""What an amortised fit returns: a posterior at every KL weight of its range."""

from __future__ import annotations

import dataclasses

import numpy as np

from bayesnas.distributions import LogUniform
from bayesnas.inference.config.settings import check_kl_weight
from bayesnas.inference.posterior.kl_path import KLWeightPath
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.typed import typed

_EVIDENCE_POINTS = 33


class AmortizedPosterior(KLWeightPath):
    """q(w, Γ) at every KL weight of a range, from one fit.

    :meth:`at` gives the posterior at one λ, without training; everything that speaks of one
    network is asked of that. Made by ``bayesnas.fit`` with ``kl_weight=LogUniform(low, high)``
    and by ``bayesnas.load``.

    >>> import torch, bayesnas as bn
    >>> data = (torch.randn(30, 4), torch.arange(30) % 3)
    >>> model = bn.models.GaussianNet(bn.nn.mlp([4, 5, 3]))
    >>> post = bn.fit(model, data, kl_weight=bn.LogUniform(0.1, 10), amortize="linear", steps=5)
    >>> post.at(2.0)
    Posterior(GaussianNet 4–5–3 on arrays, kl_weight=2)
    >>> post.at(20.0)
    Traceback (most recent call last):
    ...
    ValueError: kl_weight must be in the fitted range [0.1, 10], got 20.0
    """

    _called = "an amortised posterior"

    @property
    def kl_weight(self) -> LogUniform:
        """The range of λ."""
        assert self.settings.amortization is not None
        span = self.settings.amortization.span
        return LogUniform(span.low, span.high)

    def _kl_weights_down_to_one(self) -> list[float]:
        assert self.settings.amortization is not None
        span = self.settings.amortization.span
        if not span.low <= 1 < span.high:
            raise ValueError(
                "thermodynamic integration goes along λ from the end of the fitted range to 1, "
                f"which must lie in it, got the range {self.settings.kl_weight_text()}"
            )
        inner = np.geomspace(1.0, span.high, _EVIDENCE_POINTS)[1:-1]
        return [1.0, *map(float, inner), span.high]

    @typed()
    def at(self, kl_weight: float) -> Posterior:
        """The posterior at one KL weight.

        Its chains have the history of the whole fit; the best is the one whose bound was
        highest over its last steps near this λ.

        Raises:
            ValueError: for a λ outside the fitted range; the message says the range.
        """
        check_kl_weight(kl_weight)
        settings = dataclasses.replace(self.settings, kl_weight=float(kl_weight), amortization=None)
        run = dataclasses.replace(self.run, settings=settings)
        chains = [chain.at(float(kl_weight)) for chain in self._chains]
        return Posterior(run, chains, self.example)
