"""What an amortised fit returns: a posterior at every KL weight of its range."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from bayesnas.checks import draw_count, finite, whole_number
from bayesnas.distributions import LogUniform
from bayesnas.inference.config.amortization import NONE, Values
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.config.settings import check_kl_weight
from bayesnas.inference.evidence.choice import Choice, most_evident
from bayesnas.inference.evidence.estimate import EvidenceMethod
from bayesnas.inference.evidence.result import Evidence
from bayesnas.inference.posterior.kl_weights.kl_path import KLWeightPath
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

_MOST_POINTS = 1000  # of a grid along one metaparameter
_EVIDENCE_POINTS = 33


class AmortizedPosterior(KLWeightPath):
    """q(w, Γ) at every KL weight of a range, and of other metaparameters, from one fit.

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
    _given: Values = NONE

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
    def at(self, kl_weight: float, **metaparameters: float) -> Posterior:
        """The posterior at one KL weight, and at one value of every other metaparameter.

        Its chains have the history of the whole fit; the best is the one whose bound was
        highest over its last steps near this λ.

        Args:
            kl_weight: λ.
            metaparameters: those besides λ that the fit is over, by name.

        Raises:
            ValueError: for a value outside its fitted range, which the message says, for a name
                that the fit is not over, or one that is missing.
        """
        check_kl_weight(kl_weight)
        values = {**self._given, **_numbers(metaparameters)}
        settings = dataclasses.replace(self.settings, kl_weight=float(kl_weight), amortization=None)
        chains = [chain.at(float(kl_weight), values) for chain in self._chains]
        model = copy.deepcopy(self.run.model) if values else self.run.model
        for name, value in values.items():
            model.set_metaparameter(name, value)
        run = dataclasses.replace(self.run, model=model, settings=settings)
        return Posterior(run, chains, self.example)

    @typed()
    def given(self, **metaparameters: float) -> AmortizedPosterior:
        """The same fit with metaparameters besides λ held at values, for what asks by λ alone.

        ``post.given(prior_scale=0.3)`` has the frontier, the evidence and the posteriors along λ at
        that scale. Saved, it is the whole fit.

        Args:
            metaparameters: by name.

        Raises:
            ValueError: as for :meth:`at`.
        """
        values = {**self._given, **_numbers(metaparameters)}
        assert self.settings.amortization is not None
        self.settings.amortization.check_others(values)
        posterior = copy.copy(self)
        posterior._given = values
        return posterior

    @typed(unchecked=("data",))
    def choose(
        self,
        data: Data,
        *,
        method: EvidenceMethod = "elbo",
        points: int = 9,
        draws: int = 64,
        seed: int = 0,
    ) -> Choice:
        """Choose the metaparameters besides λ by the evidence, without training again.

        The evidence is that of the posteriors at λ = 1, by default their bound. A grid over the
        ranges, then two finer ones around its best point; all of them under one seed, so that noise
        moves them alike.

        Args:
            data: the training data.
            method: as in ``Posterior.evidence``.
            points: of a grid along every metaparameter, at least 3.
            draws: from the guide at every point.
            seed: of the draws.

        Returns:
            the values, the evidence there, and that over the first grid.

        Raises:
            ValueError: for a fit over λ alone, or over a range of λ without 1.
            TypeError: naming data that are no part of a data set and no pair.

        References:
            MacKay, *Bayesian interpolation*, 1992.

        >>> import torch, bayesnas as bn
        >>> data = (torch.eye(2), torch.tensor([1.0, -1.0]))
        >>> model = bn.models.GaussianNet(bn.nn.mlp([2, 1]), likelihood="gaussian", noise_scale=1)
        >>> scales = {"prior_scale": bn.LogUniform(0.1, 3)}
        >>> box = bn.LogUniform(0.5, 2)
        >>> post = bn.fit(model, data, kl_weight=box, metaparameters=scales, steps=5)
        >>> list(post.choose(data).values)
        ['prior_scale']
        """
        points, draws = whole_number("points", points, 3, _MOST_POINTS), draw_count("draws", draws)
        assert self.settings.amortization is not None
        amortization = self.settings.amortization
        axes = [axis for axis in amortization.others if axis.name not in self._given]
        if not axes:
            raise ValueError(
                "choose needs a fit over metaparameters besides λ, got one over λ alone"
            )
        if not amortization.span.contains(1.0):
            raise ValueError(
                "choose goes by the evidence, that at λ = 1, which must lie in the fitted range, "
                f"got {self.settings.kl_weight_text()}"
            )

        def evidence_at(values: Mapping[str, float]) -> Evidence:
            return self.at(1.0, **values).evidence(data, method=method, draws=draws, seed=seed)

        return most_evident(evidence_at, axes, points)

    @typed()
    def chain(self, index: int) -> Self:
        """Return the fit of one chain alone.

        Raises:
            ValueError: for an index that no chain has.
        """
        return self._with_given(super().chain(index))

    @typed()
    def to(self, device: str | torch.device) -> Self:
        """Return a copy on another device.

        Raises:
            ValueError: for a device that there is none of.
        """
        return self._with_given(super().to(device))

    def history(self) -> xr.Dataset:
        """Loss, its two terms and λ of every step, and the metaparameters besides λ."""
        history = super().history()
        assert self.settings.amortization is not None
        steps = range(history.sizes["step"])
        others = [self.settings.kl_weight_at(step).metaparameters for step in steps]
        return history.assign(
            {
                axis.name: ("step", [values[axis.name] for values in others])
                for axis in self.settings.amortization.others
            }
        )

    def _with_given(self, other: Self) -> Self:
        other._given = self._given
        return other


def _numbers(metaparameters: Mapping[str, float]) -> dict[str, float]:
    return {name: finite(name, value) for name, value in metaparameters.items()}
