"""Smaller networks from a posterior: weights or groups removed, and a plain module to take away."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Self

import torch
from torch import nn

from bayesnas.checks import flag, seed_number
from bayesnas.data.inputs import by_position
from bayesnas.export.netcdf_file import write_netcdf
from bayesnas.files import check_new_file
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.evaluation.tradeoff.model_pruning import ModelPruning
from bayesnas.inference.evaluation.tradeoff.pruning_curve import (
    PRUNING_FRACTIONS,
    check_alone,
    chosen_fraction,
    chosen_threshold,
    pruning_curve,
    without_groups,
)
from bayesnas.inference.posterior.arviz_export import ArvizExport
from bayesnas.inference.posterior.chain import FittedChain
from bayesnas.models.base import BayesianModel
from bayesnas.models.plain_network import in_data_units, metadata_of
from bayesnas.nn.network_files.save import SUFFIXES, save_net
from bayesnas.pruning.compaction import compact
from bayesnas.pruning.criteria.registry import Criterion, Removal
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr


class Prunable(ArvizExport):
    """Chains whose networks are made smaller; a base class of :class:`Posterior`."""

    @typed(unchecked=("validation", "training"))
    def prune(
        self,
        *,
        fraction: float | None = None,
        threshold: float | None = None,
        validation: Data | None = None,
        by: Removal = "density",
        groups: bool = False,
        biases: bool = True,
        training: Data | None = None,
        seed: int = 0,
    ) -> Self:
        """Remove weights: those with the largest relative density at zero first (Graves 2011).

        Removed weights are exactly zero in means and draws, and leave the KL. What is already
        removed stays so: groups can go first, then single weights. Give ``fraction``,
        ``threshold`` or ``validation``.

        Args:
            fraction: share of all weights (biases included, unless they stay) removed, over all
                layers together; of groups as few go as remove at least so many.
            threshold: removes where ρ = exp(−μ²/2σ²) ≥ threshold; by magnitude, where
                ``|μ| ≤ threshold``; by evidence, where ΔF ≥ threshold nats, 0 by default; by
                reduction, as long as ΔF of the next removal is; by OBD and Fisher, where the loss
                rises by ≤ threshold nats an example; by group, where the score of
                ``model.group_scores()`` is ≥ threshold.
            validation: held-out data, on which the smallest network is chosen whose loss is within
                one standard error of the lowest (Breiman et al. 1984); the loss is the share of
                errors or the mean squared error. Of groups the log loss stays near its lowest, too
                (``bayesnas.models.knee``).
            by: what goes first (docs/pruning.md has the formulas): ``"density"`` ρ, ``"evidence"``
                ΔF of each alone, ``"reduction"`` ΔF one after another by the whole covariance of
                the Laplace posterior (Bayesian model reduction), ``"magnitude"`` ``|μ|``, ``"obd"``
                ½hμ² (Optimal Brain Damage), ``"fisher"``, ``"obs"`` (Optimal Brain Surgeon),
                ``"relevance"``, ``"random"``, the baseline, or ``"group"``: whole input units and
                filters of a ``BayesianCompressionNet`` by their scales, and with them the units
                that nothing reads any more.
            groups: remove whole input units of linear layers and filters of convolutions, by the
                scores of their weights added up; by magnitude, by their norm.
            biases: whether biases may go.
            training: the training data, for ``"obd"``, ``"fisher"``, ``"obs"``, ``"reduction"``
                and ``"relevance"``, which look at the loss. The last three give the weights that
                stay the means that the Laplace posterior has without the others.
            seed: of the random order.

        Returns:
            a new posterior; this one stays as it is.

        Raises:
            ValueError: for none or several of ``fraction``, ``threshold`` and ``validation``, one
                out of range, an unknown criterion, one that needs ``training`` or is for fewer
                weights, or where a layer would lose all its groups.
            TypeError: for a model without weights, groups, or what the criterion looks at.
        """
        if validation is not None:
            check_alone(fraction, threshold)
            x, y = self._tensors(validation, "validation")
        models = [chain.model for chain in self._chains]
        if by == "group":
            if flag("groups", groups) or not flag("biases", biases):
                raise ValueError(
                    "groups and biases must be left out for by='group', which removes groups by "
                    f"their scales, got groups={groups}, biases={biases}"
                )
            if validation is not None:
                threshold = chosen_threshold(self.model, x, y)
            smaller = [without_groups(m, fraction, threshold, self.example[0]) for m in models]
        else:
            prune = partial(self._pruning, by, training, seed, groups=groups, biases=biases)
            if validation is not None:
                fraction = chosen_fraction(self.model, x, y, prune(self.model))
            smaller = [prune(model).at(fraction, threshold) for model in models]
        chains = [
            FittedChain(model, chain.history, chain.validation_nll)
            for model, chain in zip(smaller, self._chains, strict=True)
        ]
        return type(self)(self.run, chains, self.example)

    def _pruning(
        self,
        by: Criterion,
        training: Data | None,
        seed: int,
        model: BayesianModel,
        *,
        groups: bool = False,
        biases: bool = True,
    ) -> ModelPruning:
        return ModelPruning(
            model,
            by,
            seed=seed_number("seed", seed),
            training=None if training is None else self._tensors(training, "training"),
            kl_weight=self.kl_weight,
            groups=flag("groups", groups),
            biases=flag("biases", biases),
        )

    @typed(unchecked=("data", "training"))
    def pruning_curve(
        self,
        data: Data,
        fractions: Sequence[float] = PRUNING_FRACTIONS,
        by: Sequence[Criterion] = ("density", "magnitude", "random"),
        *,
        training: Data | None = None,
        seed: int = 0,
    ) -> xr.Dataset:
        """Accuracy (or rmse) and nll of the posterior means against the fraction removed.

        Args:
            data: that it is measured on.
            fractions: shares of the weights removed.
            by: criteria, as in :meth:`prune`.
            training: the training data, for criteria that look at the loss.
            seed: of the random order.

        Returns:
            variables over dims ``(by, fraction)``.

        Raises:
            TypeError: naming data that are no part of a data set and no pair.
            ValueError: for no fraction or criterion, a fraction outside [0, 1], an unknown
                criterion, one that needs training data where there are none.
        """
        if not len(by) or not len(fractions):
            raise ValueError(
                f"by and fractions must hold one each or more, got {by!r}, {fractions!r}"
            )
        prunings = {each: self._pruning(each, training, seed, self.model) for each in by}
        return pruning_curve(self._sample(data), fractions, prunings, seed)

    @typed()
    def compact(self, *, standardise: bool = False) -> nn.Module:
        """Return a plain module at the posterior means, dead groups physically removed.

        It takes inputs as the fit took them, as :meth:`predict` does.

        Args:
            standardise: whether it standardises them itself, where the data of the fit were: it
                then takes rows as they came and gives numbers in the units of the targets, as a
                :class:`~bayesnas.nn.StandardisedNet` around the network. :meth:`export` writes
                that one.

        Raises:
            TypeError: for a model without a network, or a likelihood of one's own whose outputs
                can't be put into other units.
        """
        module = self.model.plain_module().eval()
        net = compact(module, by_position(module, self.example[0]))
        return in_data_units(net, self.data, self.model) if standardise else net

    @typed(unchecked=("path", "data"))
    def export(
        self, path: str | os.PathLike[str], *, draws: int = 500, data: Data | None = None
    ) -> None:
        """Write the posterior, or its compact network, as one file for other programs.

        - ``.nc``: what :meth:`to_arviz` gives; ``arviz.from_netcdf`` opens it.
        - ``.safetensors``: the network of :meth:`compact`, its layers and units in the header.
        - ``.pt2``: the same as a program of torch; ``torch.export.load`` opens it.
        - ``.onnx``: the same for ONNX runtimes; needs ``bayesnas[onnx]``.

        A network takes rows in the units of the data. Names of features and classes, and what the
        outputs are, go with it as JSON, see ``bayesnas.nn.save_net``.

        Args:
            path: of the file; one that is there is never replaced.
            draws: of every chain, for ``.nc``.
            data: for ``.nc``, as for :meth:`to_arviz`.

        Raises:
            ValueError: another ending.
            TypeError: as :meth:`compact`, or a network of several inputs.
            FileExistsError: the file is there.
            OSError: it can't be written; nothing is left of it.

        >>> import torch, bayesnas as bn
        >>> data = bn.data.from_arrays(100 + torch.randn(30, 2), torch.randn(30), standardise=True)
        >>> net = bn.models.GaussianNet(bn.nn.mlp([2, 1]), likelihood="gaussian")
        >>> post = bn.fit(net, data.train, steps=2)
        >>> post.export("net.pt2")
        >>> raw = torch.tensor([[100.0, 101.0]])
        >>> outputs = torch.export.load("net.pt2").module()(raw)
        >>> torch.allclose(outputs, post.compact(standardise=True)(raw))
        True
        """
        target = check_new_file("path", path, (".nc", *SUFFIXES))
        if target.suffix == ".nc":
            write_netcdf(self.to_arviz(draws, data), target)
            return
        x = self.example[0]
        if not isinstance(x, torch.Tensor):
            raise TypeError("export takes a network of one input, got one of several")
        example = x if len(x) > 1 else torch.cat([x, x])
        metadata = metadata_of(self.model, self.data, x)
        save_net(self.compact(standardise=True), target, example, metadata=metadata)
