"""What a posterior says of new rows: predictions, their spread, draws of the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bayesnas.checks import draw_count, fraction_in
from bayesnas.inference.evaluation.intervals import predictive_interval, predictive_moments
from bayesnas.inference.evaluation.predictive import conditional_means, posterior_draws
from bayesnas.inference.posterior.pruning import Prunable
from bayesnas.typed import typed


class Predictive(Prunable):
    """Chains whose best one predicts; a base class of :class:`Posterior`."""

    @typed(unchecked=("x",))
    def predict(self, x: Any, draws: int = 100, *, seed: int = 0) -> Tensor:
        """Predict under ``draws`` draws of the weights, one draw for all rows.

        Args:
            x: inputs ``[n, ...]``: an array, table, list or tensor, as ``bayesnas.fit`` took, or a
                streamed part of a data set.
            draws: number of draws.
            seed: of the draws.

        Returns:
            class probabilities ``[draws, n, classes]``, P(y = 1) ``[draws, n]`` (or ``[draws, n,
            k]``) for a Bernoulli likelihood, or conditional means for one of a regression.
        """
        draws = draw_count("draws", draws, 1)
        model = self.model.eval()
        parts = []
        for rows in self._inputs(x):
            latents = posterior_draws(model, self.example[0], draws, seed)
            parts.append(torch.stack([conditional_means(model, rows, draw) for draw in latents]))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    @typed(unchecked=("x",))
    def moments(self, x: Any, draws: int = 100, *, seed: int = 0) -> tuple[Tensor, Tensor]:
        r"""Mean and standard deviation of new targets of a regression.

        .. math:: V[y] = E_w V[y \mid w] + V_w E[y \mid w]

        Args:
            x: inputs ``[n, ...]``, as for :meth:`predict`.
            draws: of the weights.
            seed: of the draws.

        Returns:
            two tensors ``[n]`` or ``[n, k]``, in the units that the fit saw.

        Raises:
            ValueError: for a classification.
        """
        draws = draw_count("draws", draws, 1)
        self._check_regression("moments")
        model, dtype = self.model.eval(), self.example[1].dtype
        parts = [
            predictive_moments(model, rows, self.example[0], draws, seed)
            for rows in self._inputs(x)
        ]
        mean, scale = (torch.cat(ends).to(dtype) for ends in zip(*parts, strict=True))
        return mean, scale

    @typed(unchecked=("x",))
    def interval(
        self, x: Any, level: float = 0.9, *, draws: int = 400, seed: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Both ends of the central predictive intervals of new targets of a regression.

        They are quantiles of one target for every draw of the weights, noise included. Data that
        were standardised have ``post.data.standardisation.invert_y`` for units of their own.

        Args:
            x: inputs ``[n, ...]``, as for :meth:`predict`.
            level: probability that an interval holds, in (0, 1).
            draws: of the weights.
            seed: of the draws.

        Returns:
            two tensors ``[n]`` or ``[n, k]``, in the units that the fit saw.

        Raises:
            ValueError: for a classification, or a level outside (0, 1).

        >>> import torch, bayesnas as bn
        >>> data = (torch.randn(40, 2), torch.randn(40))
        >>> post = bn.fit(bn.models.ArdRegression(2), data, steps=50)
        >>> low, high = post.interval(data[0], 0.9)
        >>> low.shape, bool((low < high).all())
        (torch.Size([40]), True)
        """
        level = fraction_in("level", level, "(0, 1)")
        draws = draw_count("draws", draws, 1)
        self._check_regression("interval")
        model = self.model.eval()
        parts = [
            predictive_interval(model, rows, self.example[0], level, draws, seed)
            for rows in self._inputs(x)
        ]
        low, high = (torch.cat(ends) for ends in zip(*parts, strict=True))
        return low, high

    def _check_regression(self, asked: str) -> None:
        if self.data.task == "classification":
            raise ValueError(
                f"{asked} is of a regression, got a classification: predict gives the "
                "probabilities of its classes"
            )

    @typed()
    def sample(self, draws: int = 100, *, seed: int = 0) -> dict[str, Tensor]:
        """Draw the latent sites: ``[draws, ...]`` by site."""
        latents = posterior_draws(self.model, self.example[0], draw_count("draws", draws), seed)
        drawn = [each.values for each in latents]
        return {site: torch.stack([values[site] for values in drawn]) for site in drawn[0]}
