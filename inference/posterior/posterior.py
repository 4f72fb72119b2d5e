"""The posterior that a fit returns: predictions, structure, pruning, export, files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack, get_args

import torch
from torch import nn

from bayesnas.checks import choice, draw_count, seed_number
from bayesnas.complexity import ANY_SCALE, PriorScales, ScaleRange, nats_to_bits
from bayesnas.data import Split
from bayesnas.export.feature_coords import feature_coords
from bayesnas.inference.bilevel.generalised_objective import GeneralisedObjective
from bayesnas.inference.config.example_weights import ClassWeight
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.config.optimizer import OptimizerFactory
from bayesnas.inference.evaluation.metrics import evaluate, kl_of
from bayesnas.inference.evaluation.tradeoff.complexity import measured
from bayesnas.inference.evidence.estimate import EvidenceMethod, estimated_evidence
from bayesnas.inference.evidence.result import Evidence
from bayesnas.inference.posterior.prediction import Predictive
from bayesnas.inference.posterior.refine import refined
from bayesnas.inference.posterior.retrain import Start, retrained
from bayesnas.inference.training.fit_options import FitOptions
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr


class Posterior(Predictive):
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

    @typed(unchecked=("data",))
    def evaluate(self, data: Data, *, draws: int = 32, seed: int = 0) -> dict[str, float]:
        """Measure predictions and the bound on data.

        Args:
            data: a part of a data set, in memory or streamed, or ``(x, y)``.
            draws: weights drawn, over which predictions are averaged; 0 uses the posterior
                means alone, as published tables of this field often do.
            seed: of the draws.

        Returns:
            ``accuracy`` and ``ece`` (15 bins; classification) or ``rmse``; ``nll``, mean
            negative log predictive density an example; ``elbo`` = E_q log p − λ KL, ``kl`` and
            ``expected_log_lik`` as sums over all rows of ``data`` and all weights;
            ``elbo_error``, a Monte Carlo standard error of ``elbo``. All in nats. Rows that the
            model masks count in none of them.

        Raises:
            TypeError: naming data that are no part of a data set and no pair.
            ValueError: naming rows that don't fit the model, draws or a seed out of range.
        """
        draws = draw_count("draws", draws, 0)
        # What examples share is that of the training data, where a few rows don't say it.
        example = self.example if self.model.shared_by_rows else None
        return evaluate(self.model, self._sample(data), self.kl_weight, draws, seed, example)

    def structure(self) -> xr.Dataset:
        """What the posterior says of the structure: values in [0, 1], one variable a site.

        Features have the names of the columns of x, where these had names.
        """
        structure = self.model.structure()
        dims = [tuple(map(str, variable.dims)) for variable in structure.values()]
        sizes = {str(dim): size for dim, size in structure.sizes.items()}
        net = getattr(self.model, "net", None)
        return structure.assign_coords(feature_coords(self.data.feature_names, dims, sizes, net))

    @typed(unchecked=("data",))
    def complexity(
        self,
        data: Data | None = None,
        *,
        draws: int = 32,
        per: PriorScales = "layer",
        scale_range: ScaleRange = ANY_SCALE,
    ) -> dict[str, float]:
        """Measure how much the posterior says, and of how many parameters.

        Args:
            data: the training data, for the description length; without it ``mdl_bits`` is
                left out.
            draws: draws for the expected log-likelihood.
            per: what has a prior scale of its own in the parametric complexity: ``"none"`` (one
                scale for all), every ``"layer"``, or every ``"weight"``.
            scale_range: smallest and largest prior scale there.

        Returns:
            ``kl_nats`` and ``kl_bits``, KL(q ‖ p); ``mdl_bits``, KL plus expected negative
            log-likelihood (Graves 2011); ``parameters`` with a posterior, and ``parameters_kept``
            after pruning. Where the model knows them ``parametric_complexity``, the smallest KL
            over the prior's scales, and ``log_relative_density``, Σ ln ρ of the kept weights, in
            nats; and ``structure_entropy``, that of q(Γ) in nats.

        Raises:
            ValueError: for another ``per``, or a range that is none.
            TypeError: naming data that are no part of a data set and no pair.
        """
        draws = draw_count("draws", draws)
        choice("per", per, get_args(PriorScales))
        kl, _ = kl_of(self.model, Split.as_given(self.example), draws=draws, seed=0)
        measures = {
            "kl_nats": kl,
            "kl_bits": nats_to_bits(kl),
            **measured(self.model, per, scale_range),
        }
        if data is not None:
            log_lik = self.evaluate(data, draws=draws)["expected_log_lik"]
            measures["mdl_bits"] = nats_to_bits(kl - log_lik)
        return measures

    @typed(unchecked=("data",))
    def evidence(
        self,
        data: Data,
        *,
        method: EvidenceMethod = "auto",
        draws: int = 1000,
        seed: int = 0,
    ) -> Evidence:
        """Estimate ln p(y | x), the evidence of the model, at its hyperparameters as they stand.

        It is that at λ = 1, whatever λ the guide was fitted at. Weights of examples and classes
        that the fit was given don't count.

        Args:
            data: the training data.
            method: ``"exact"``, where the model knows it (linear regressions with Gaussian noise);
                ``"importance"``, the importance-weighted bound of all draws (Burda et al. 2016),
                with a warning where k̂ is large; ``"elbo"``, the plain bound; ``"laplace"`` and
                ``"laplace-diagonal"``, a quadratic expansion at the posterior's mode. ``"auto"`` is
                exact where that is known, else by importance.
            draws: from the guide, at least 30 for importance weights.
            seed: of the draws.

        Returns:
            the estimate in nats, its standard error, bounds where the method gives any, and k̂.

        Raises:
            ValueError: where the method does not take the model; the message names one that does.
            TypeError: naming data that are no part of a data set and no pair.

        >>> import torch, bayesnas as bn
        >>> model = bn.models.GaussianNet(bn.nn.mlp([2, 1]), likelihood="gaussian", noise_scale=1)
        >>> data = (torch.eye(2), torch.tensor([1.0, -1.0]))
        >>> bn.fit(model, data, steps=5).evidence(data)
        Evidence(-3.38 nats, exact)
        """
        draws, seed = draw_count("draws", draws), seed_number("seed", seed)
        x, y = self._tensors(data)
        return estimated_evidence(self.model, x, y, method, draws, seed).warned()

    @typed(unchecked=("data", "objective", "sample_weight", "class_weight"))
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
        objective: GeneralisedObjective | None = None,
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
            lr: learning rate at the start; None for that of a learned optimiser, else of the fit.
            schedule: of the learning rate; None for that of the fit, or ``"cosine"`` after one
                with a function for it.
            clip: clip every gradient entry to [−clip, clip]; None for what the fit did.
            kl_weight: λ; None for that of the fit.
            objective: a generalised objective to train on, such as one that moves the structure;
                after a fit with one it, or ``kl_weight``, has to be given.
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
            objective=objective,
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

    @typed(unchecked=("data",))
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
