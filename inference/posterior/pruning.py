"""Smaller networks from a posterior: weights or groups removed, and a plain module to take away."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import torch
from torch import nn

from bayesnas.files import check_new_file
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.deployment.plain_network import in_data_units, metadata_of
from bayesnas.inference.deployment.run_files import write_netcdf
from bayesnas.inference.evaluation.pruning_curve import (
    PRUNING_FRACTIONS,
    check_alone,
    chosen_amount,
    pruned,
    pruning_curve,
    without_groups,
)
from bayesnas.inference.posterior.arviz_export import ArvizExport
from bayesnas.inference.posterior.chain import FittedChain
from bayesnas.nn.graphs.module_file import SUFFIXES, save_net
from bayesnas.pruning.compaction import compact
from bayesnas.pruning.criteria import Criterion, Removal
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr


class Prunable(ArvizExport):
    """Chains whose networks are made smaller; a base class of :class:`Posterior`."""

    @typed(own=("validation",))
    def prune(
        self,
        *,
        fraction: float | None = None,
        threshold: float | None = None,
        validation: Data | None = None,
        by: Removal = "density",
        seed: int = 0,
    ) -> Self:
        """Remove weights: those with the largest relative density at zero first (Graves 2011).

        Removed weights are exactly zero in means and draws, and leave the KL. What is already
        removed stays so: groups can go first, then single weights. Give one of:

        Args:
            fraction: share of all weights (biases included) removed, over all layers together;
                of groups as few go as remove at least so many.
            threshold: removes where ρ = exp(−μ²/2σ²) ≥ threshold; by magnitude, where
                |μ| ≤ threshold; by group, where the score of ``model.group_scores()`` is
                ≥ threshold.
            validation: held-out data, on which the smallest network is chosen whose loss is within
                one standard error of the lowest (Breiman et al. 1984); the loss is the share of
                errors or the mean squared error.
            by: ``"density"`` ρ, ``"magnitude"`` |μ|, ``"random"``, the baseline, or ``"group"``:
                whole input units and filters of a ``BayesianCompressionNet``, and with them the
                units that nothing reads any more.
            seed: of the random order.

        Returns:
            a new posterior; this one stays as it is.

        Raises:
            ValueError: for none or several of ``fraction``, ``threshold`` and ``validation``, one
                out of range, or by group where a layer would lose all its groups.
            TypeError: for a model without weights, or groups, to prune.
        """
        if validation is not None:
            check_alone(fraction, threshold)
            x, y = self._tensors(validation)
            fraction, threshold = chosen_amount(self.model, x, y, by, seed)
        models = [chain.model for chain in self._chains]
        if by == "group":
            x = self.example[0]
            smaller = [without_groups(m, fraction, threshold, x) for m in models]
        else:
            smaller = [pruned(model, fraction, threshold, by, seed) for model in models]
        chains = [
            FittedChain(model, chain.history, chain.validation_nll)
            for model, chain in zip(smaller, self._chains, strict=True)
        ]
        return type(self)(self.run, chains, self.example)

    @typed(own=("data",))
    def pruning_curve(
        self,
        data: Data,
        fractions: Sequence[float] = PRUNING_FRACTIONS,
        by: Sequence[Criterion] = ("density", "magnitude", "random"),
        *,
        seed: int = 0,
    ) -> xr.Dataset:
        """Accuracy (or rmse) and nll of the posterior means against the fraction removed.

        Returns:
            variables over dims ``(by, fraction)``.
        """
        return pruning_curve(self.model, *self._tensors(data), fractions, by, seed)

    @typed()
    def compact(self, *, standardise: bool = True) -> nn.Module:
        """Return a plain module at the posterior means, dead groups physically removed.

        Where the data of the fit were standardised, the module takes rows as they came and gives
        numbers in the units of the targets: it is a :class:`~bayesnas.nn.StandardisedNet` around
        the network.

        Args:
            standardise: False gives the network alone, for inputs as the fit took them.

        Raises:
            TypeError: for a model without a network, or a likelihood of one's own whose outputs
                can't be put into other units.
        """
        net = compact(self.model.plain_module().eval(), self.example[0])
        return in_data_units(net, self.data, self.model) if standardise else net

    @typed(own=("path", "data"))
    def export(
        self, path: str | os.PathLike[str], *, draws: int = 500, data: Data | None = None
    ) -> None:
        """Write the posterior, or its compact network, as one file for other programs.

        ==================  ===================================================================
        ``.nc``             what :meth:`to_arviz` gives; ``arviz.from_netcdf`` opens it
        ``.safetensors``    weights of :meth:`compact`, layers and units in the header
        ``.pt2``            :meth:`compact` as a program of torch: ``torch.export.load``
        ``.onnx``           the same for ONNX runtimes; needs ``bayesnas[onnx]``
        ==================  ===================================================================

        A network takes rows in the units of the data. Names of features and classes, and what the
        outputs are, go with it as JSON, see ``bayesnas.nn.save_net``.

        Args:
            path: of the file; one that is there is never replaced.
            draws: of every chain, for ``.nc``.
            data: for ``.nc``, as for :meth:`to_arviz`.

        Raises:
            ValueError: another ending.
            FileExistsError: the file is there.
            OSError: it can't be written; nothing is left of it.

        >>> import torch, bayesnas as bn
        >>> data = bn.data.from_arrays(100 + torch.randn(30, 2), torch.randn(30), standardise=True)
        >>> net = bn.models.GaussianNet(bn.nn.mlp([2, 1]), likelihood="gaussian")
        >>> post = bn.fit(net, data.train, steps=2)
        >>> post.export("net.pt2")
        >>> raw = torch.tensor([[100.0, 101.0]])
        >>> found = torch.export.load("net.pt2").module()(raw)
        >>> torch.allclose(found, post.compact()(raw))
        True
        """
        target = check_new_file("path", path, (".nc", *SUFFIXES))
        if target.suffix == ".nc":
            write_netcdf(self.to_arviz(draws, data), target)
            return
        x = self.example[0]
        example = x if len(x) > 1 else torch.cat([x, x])
        metadata = metadata_of(self.model, self.data, x)
        save_net(self.compact(), target, example, metadata=metadata)
