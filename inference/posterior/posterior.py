"""The posterior that a fit returns: predictions, structure, pruning, export, files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import torch
from torch import Tensor, nn

from bayesnas.checks import draw_count, fraction_in
from bayesnas.complexity import nats_to_bits
from bayesnas.inference.config.example_weights import ClassWeight
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.evaluation.intervals import predictive_interval, predictive_moments
from bayesnas.inference.evaluation.metrics import evaluate, kl_of
from bayesnas.inference.evaluation.predictive import conditional_means, posterior_draws
from bayesnas.inference.optim.optimizers import OptimizerFactory
from bayesnas.inference.posterior.pruning import Prunable
from bayesnas.inference.posterior.refine import refined
from bayesnas.inference.posterior.retrain import Start, retrained
from bayesnas.inference.training.fit_options import FitOptions
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr


class Posterior(Prunable):
    """q(w, Γ) at one KL weight, fitted from one or more starts.

    Every start is a chain. What speaks of one network (:meth:`evaluate`, :meth:`predict`,
    :meth:`prune`, :meth:`compact`, ...) uses the best chain, the one whose bound was highest
    over its last steps; :meth:`to_arviz` exports all, and :meth:`chain` picks another.

    Made by ``bayesnas.fit`` and ``bayesnas.load``.

    Attributes:
        run: what was fitted on what.
        best: index of the best chain.
        example: two rows of the training data, ``(x, y)``.
    """

    @typed(own=("data",))
    def evaluate(self, data: Data, *, draws: int = 32, seed: int = 0) -> dict[str, float]:
        """Measure predictions and the bound on data.

        Args:
            data: a part of a data set, or ``(x, y)``.
            draws: weights drawn, over which predictions are averaged; 0 uses the posterior
                means alone, as published tables of this field often do.
            seed: of the draws.

        Returns:
            ``accuracy`` and ``ece`` (15 bins; classification) or ``rmse``; ``nll``, mean
            negative log predictive density an example; ``elbo`` = E_q log p − λ KL, ``kl`` and
            ``expected_log_lik`` as sums over all rows of ``data`` and all weights;
            ``elbo_error``, a Monte Carlo standard error of ``elbo``. All in nats. Rows that the
            model masks count in none of them.
        """
        draws = draw_count("draws", draws, 0)
        x, y = self._tensors(data)
        return evaluate(self.model, x, y, self.kl_weight, draws, seed)

    @typed(own=("x",))
    def predict(self, x: Any, draws: int = 100, *, seed: int = 0) -> Tensor:
        """Predict under ``draws`` draws of the weights, one draw for all rows.

        Args:
            x: inputs ``[n, ...]``: an array, table, list or tensor, as ``bayesnas.fit`` took.
            draws: number of draws.
            seed: of the draws.

        Returns:
            class probabilities ``[draws, n, classes]``, P(y = 1) ``[draws, n]`` (or ``[draws, n,
            k]``) for a Bernoulli likelihood, or conditional means for one of a regression.
        """
        draws = draw_count("draws", draws, 1)
        x, model = self._inputs(x), self.model.eval()
        found = posterior_draws(model, self.example[0], draws, seed)
        return torch.stack([conditional_means(model, x, draw) for draw in found])

    @typed(own=("x",))
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
        draws, x = draw_count("draws", draws, 1), self._inputs(x)
        self._check_regression("moments")
        mean, scale = predictive_moments(self.model.eval(), x, self.example[0], draws, seed)
        return mean.to(self.example[1].dtype), scale.to(self.example[1].dtype)

    @typed(own=("x",))
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
        draws, x = draw_count("draws", draws, 1), self._inputs(x)
        self._check_regression("interval")
        model = self.model.eval()
        return predictive_interval(model, x, self.example[0], level, draws, seed)

    def _check_regression(self, asked: str) -> None:
        if self.data.task == "classification":
            raise ValueError(
                f"{asked} is of a regression, got a classification: predict gives the "
                "probabilities of its classes"
            )

    @typed()
    def sample(self, draws: int = 100, *, seed: int = 0) -> dict[str, Tensor]:
        """Draw the latent sites: ``[draws, ...]`` by site."""
        found = posterior_draws(self.model, self.example[0], draw_count("draws", draws), seed)
        drawn = [each.values for each in found]
        return {site: torch.stack([values[site] for values in drawn]) for site in drawn[0]}

    def structure(self) -> xr.Dataset:
        """What the posterior says of the structure: values in [0, 1], one variable a site."""
        return self.model.structure()

    @typed(own=("data",))
    def complexity(self, data: Data | None = None, *, draws: int = 32) -> dict[str, float]:
        """Measure how much the posterior says, and of how many parameters.

        Args:
            data: the training data, for the description length; without it ``mdl_bits`` is
                left out.
            draws: draws for the expected log-likelihood.

        Returns:
            ``kl_nats`` and ``kl_bits``, KL(q ‖ p); ``parametric_complexity``, the smallest KL
            over the prior's scale, in nats (where the model knows it); ``mdl_bits``, KL plus
            expected negative log-likelihood (Graves 2011); ``parameters`` with a posterior, and
            ``parameters_kept`` after pruning.
        """
        draws = draw_count("draws", draws)
        kl, _ = kl_of(self.model, *self.example, draws=draws, seed=0)
        masks = self.model.keep_masks()
        found = {
            "kl_nats": kl,
            "kl_bits": nats_to_bits(kl),
            "parameters": float(sum(mask.numel() for mask in masks.values())),
            "parameters_kept": float(sum(int(mask.sum()) for mask in masks.values())),
        }
        complexity = self.model.parametric_complexity()
        if complexity is not None:
            found["parametric_complexity"] = float(complexity)
        if data is not None:
            log_lik = self.evaluate(data, draws=draws)["expected_log_lik"]
            found["mdl_bits"] = nats_to_bits(kl - log_lik)
        return found

    @typed(own=("data", "sample_weight", "class_weight"))
    def refine(
        self,
        data: Data,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        schedule: str | None = None,
        clip: float | None = None,
        kl_weight: float | None = None,
        seed: int | None = None,
        optimizer: OptimizerFactory = torch.optim.Adam,
        compile: str | bool = "auto",
        progress: bool = True,
        sample_weight: object = None,
        class_weight: ClassWeight | None = None,
    ) -> Posterior:
        """Train on from here, every chain alone; also from a λ of an amortised fit.

        Args:
            data: training data.
            epochs: passes over the sample; or
            steps: optimiser steps (one of the two).
            batch_size: examples in a batch; None for that of the fit.
            lr: learning rate at the start; None for that of the fit.
            schedule: of the learning rate; None for that of the fit, or ``"cosine"`` after one
                with a function for it.
            clip: clip every gradient entry to [−clip, clip]; None for what the fit did.
            kl_weight: λ; None for that of the fit.
            seed: of everything random; None for that of the fit.
            optimizer: makes the optimiser: ``optimizer(parameters, lr=lr)``.
            compile: as in ``bayesnas.fit``.
            progress: show a bar, where stderr is a terminal.
            sample_weight: as in ``bayesnas.fit``; those of the fit are not kept.
            class_weight: likewise.

        Returns:
            a new posterior, with the history of these steps; this one stays as it is.

        Raises:
            ValueError, TypeError: naming an argument that does not fit.
        """
        options = {
            "epochs": epochs, "steps": steps, "batch_size": batch_size, "lr": lr, "clip": clip,
            "schedule": schedule, "kl_weight": kl_weight, "seed": seed, "compile": compile,
        }  # fmt: skip
        run, records = refined(
            self.run,
            [chain.model for chain in self._chains],
            self.example[0].device,
            data,
            options,
            optimizer,
            sample_weight=sample_weight,
            class_weight=class_weight,
            progress=progress,
        )
        return Posterior.restore(run, records, self.example, self.example[0].device)

    def architecture(self) -> nn.Module:
        """The likeliest discrete network of a model with a latent structure, as a plain module.

        For a :class:`~bayesnas.models.LatentStructureNet` it is a graph with one operation on every
        edge, at the posterior means of the weights: ``parameter_count`` and
        ``multiply_add_count`` are its size, and its dead edges are left out.

        Raises:
            TypeError: for a model of one network.
        """
        return self.model.architecture().eval()

    @typed(own=("data",))
    def retrain(
        self, data: Data, *, start: Start = "scratch", **options: Unpack[FitOptions]
    ) -> Posterior:
        """Train :meth:`architecture` by itself, by maximum likelihood, as searches are judged.

        For a posterior on its weights fit ``bayesnas.models.GaussianNet(post.architecture())``.

        Args:
            data: training data.
            start: ``"scratch"``, fresh weights, or ``"weights"``, those of the search.
            options: of ``bayesnas.fit``: ``epochs`` or ``steps``, ``optimizer``, ``validation`` and
                ``patience``, ...

        Returns:
            a posterior whose weights are points; ``compact()`` is the trained module.

        Raises:
            TypeError: for a model of one network.
            ValueError: naming an argument that does not fit.
        """
        return Posterior.restore(*retrained(self.model, data, start, dict(options)))
