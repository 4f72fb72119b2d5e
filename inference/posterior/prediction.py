"""What a posterior says of new rows: predictions, their spread, draws of the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bayesnas.checks import choice, draw_count, fraction_in, naming, seed_number
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.evaluation.conditionals import conditional_means
from bayesnas.inference.evaluation.intervals import predictive_interval, predictive_moments
from bayesnas.inference.evaluation.predictive import posterior_draws
from bayesnas.inference.evaluation.reported import (
    Score,
    reported_metrics,
    separation,
    uncertainty,
)
from bayesnas.inference.posterior.pruning import Prunable
from bayesnas.typed import typed

_SCORES: dict[str, tuple[Score, ...]] = {
    "classification": ("entropy", "mutual-information", "confidence"),
    "regression": ("deviation",),
}


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

        Raises:
            ValueError: naming inputs of another shape or type than those of the fit, draws or a
                seed out of range.
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
        draws, seed = draw_count("draws", draws, 1), seed_number("seed", seed)
        self._check_regression("interval")
        model = self.model.eval()
        parts = [
            predictive_interval(model, rows, self.example[0], level, draws, seed)
            for rows in self._inputs(x)
        ]
        low, high = (torch.cat(ends) for ends in zip(*parts, strict=True))
        return low, high

    @typed(unchecked=("data",))
    def metrics(
        self, data: Data, *, level: float = 0.9, draws: int = 100, seed: int = 0
    ) -> dict[str, float]:
        r"""Metrics that papers report, beside those of :meth:`evaluate`.

        Args:
            data: a part of a data set, in memory or streamed, or ``(x, y)``.
            level: probability of the intervals of a regression, in (0, 1).
            draws: of the weights, two or more.
            seed: of the draws.

        Returns:
            of a classification ``brier``, the mean of :math:`\sum_c (p_c - 1[y = c])^2` (halved for
            two classes, as scikit-learn does), and ``aurc``, the area under the risk–coverage
            curve. Of a regression ``crps``, the continuous ranked probability score, ``coverage``,
            the share of targets in their central predictive intervals, and ``width``, the mean
            width of these; score and width in the units that the fit saw.

        Raises:
            ValueError: for data that don't fit, or a level outside (0, 1).
            TypeError: for a Pyro pair whose program masks rows.

        References:
            Brier, *Verification of forecasts expressed in terms of probability*, 1950; Gneiting,
            Raftery, *Strictly proper scoring rules, prediction, and estimation*, 2007; Geifman,
            El-Yaniv, *Selective classification for deep neural networks*, 2017.

        >>> import torch, bayesnas as bn
        >>> data = (torch.randn(40, 2), torch.arange(40) % 2)
        >>> post = bn.fit(bn.models.GaussianNet(bn.nn.mlp([2, 2])), data, steps=5)
        >>> sorted(post.metrics(data))
        ['aurc', 'brier']
        """
        level = fraction_in("level", level, "(0, 1)")
        draws, seed = draw_count("draws", draws, 2), seed_number("seed", seed)
        sample = self._sample(data)
        return reported_metrics(self.model.eval(), sample, self.example[0], level, draws, seed)

    @typed(unchecked=("x",))
    def uncertainty(
        self, x: Any, score: Score | None = None, *, draws: int = 100, seed: int = 0
    ) -> Tensor:
        """How unsure the prediction of every row is.

        Args:
            x: inputs ``[n, ...]``, as for :meth:`predict`.
            score: ``"entropy"`` of the mean probabilities (of a classification by default),
                ``"mutual-information"`` between label and weights, ``"confidence"``, one minus the
                largest probability, or ``"deviation"``, the standard deviation of a new target (of
                a regression).
            draws: of the weights, two or more.
            seed: of the draws.

        Returns:
            ``[n]``: the larger, the less sure; entropies in nats.

        Raises:
            ValueError: for a score that does not go with the task.
        """
        draws, seed = draw_count("draws", draws, 2), seed_number("seed", seed)
        scores = _SCORES[self.data.task]
        chosen = scores[0] if score is None else score
        choice("score", chosen, scores, f": those of a {self.data.task}")
        model = self.model.eval()
        parts = [
            uncertainty(model, rows, self.example[0], chosen, draws, seed)
            for rows in self._inputs(x)
        ]
        return torch.cat(parts)

    @typed(unchecked=("inside", "outside"))
    def out_of_distribution(
        self,
        inside: Any,
        outside: Any,
        score: Score | None = None,
        *,
        draws: int = 100,
        seed: int = 0,
    ) -> float:
        """How well uncertainty tells rows of another source from those of the data (AUROC).

        Args:
            inside: inputs ``[n, ...]`` such as those of training.
            outside: inputs ``[m, ...]`` of another source, in the same form.
            score: of :meth:`uncertainty`.
            draws: of the weights, two or more.
            seed: of the draws.

        Returns:
            the probability that a row of ``outside`` is less sure than one of ``inside``, ties
            counting one half: 0.5 tells nothing, 1 tells all apart.

        Raises:
            ValueError: naming rows of another shape or type than those of the fit, a score that
                does not go with the task, fewer than two draws.

        >>> import torch, bayesnas as bn
        >>> x = torch.randn(60, 2)
        >>> model = bn.models.ArdRegression(2, noise_scale=0.1)
        >>> post = bn.fit(model, (x, x[:, 0]), steps=100)
        >>> post.out_of_distribution(x, 100 * x, draws=400) > 0.8
        True
        """
        scores = []
        for name, rows in (("inside", inside), ("outside", outside)):
            with naming(name):
                scores.append(self.uncertainty(rows, score, draws=draws, seed=seed))
        return separation(*scores)

    def _check_regression(self, asked: str) -> None:
        if self.data.task == "classification":
            raise ValueError(
                f"{asked} is of a regression, got a classification: predict gives the "
                "probabilities of its classes"
            )

    @typed()
    def sample(self, draws: int = 100, *, seed: int = 0) -> dict[str, Tensor]:
        """Draw the latent sites: ``[draws, ...]`` by site.

        Raises:
            ValueError: for draws or a seed out of range.
        """
        latents = posterior_draws(self.model, self.example[0], draw_count("draws", draws), seed)
        drawn = [each.values for each in latents]
        return {site: torch.stack([values[site] for values in drawn]) for site in drawn[0]}
