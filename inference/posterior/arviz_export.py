"""Draws of a posterior for ArviZ, one draw at a time, and k̂, how far they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bayesnas.checks import draw_count, seed_number
from bayesnas.data import Split
from bayesnas.inference.config.inputs import Data, in_memory
from bayesnas.inference.config.settings import check_kl_weight
from bayesnas.inference.evidence.layer_densities import layer_pareto_k
from bayesnas.inference.evidence.log_densities import check_shared, tempered_pareto_k
from bayesnas.inference.evidence.prediction_pareto_k import prediction_pareto_k
from bayesnas.inference.posterior.arviz_tree.draws import draws_to_datatree
from bayesnas.inference.posterior.arviz_tree.names import GivenNames
from bayesnas.inference.posterior.base import BasePosterior
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr


class ArvizExport(BasePosterior):
    """Chains at one KL weight, exported; a base class of :class:`Posterior`."""

    @property
    def kl_weight(self) -> float:
        """λ of the fit."""
        assert self.settings.kl_weight is not None
        return self.settings.kl_weight

    @typed(unchecked=("data", "coords"))
    def to_arviz(
        self,
        draws: int = 500,
        data: Data | None = None,
        *,
        var_names: Sequence[str] | None = None,
        latent_draws: int = 20,
        prior_draws: int = 0,
        dims: Mapping[str, Sequence[str]] | None = None,
        coords: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> xr.DataTree:
        """Export draws of every chain as the tree that ArviZ reads.

        Args:
            draws: draws a chain.
            data: adds posterior_predictive, log_likelihood (pointwise, unscaled),
                observed_data and constant_data for its rows; for the training data also the
                tempered log target ``lp`` in sample_stats.
            var_names: sites to export; all by default. log_prior and log_q stay complete.
            latent_draws: where rows have latents of their own, as the codes of an autoencoder:
                draws of them, over which log_likelihood is averaged by importance weights; 0:
                log_likelihood is left out.
            prior_draws: adds the groups prior and, with ``data``, prior_predictive, of so many
                draws of the model alone a chain, at the hyperparameters that it learned.
            dims: names of the dimensions of sites, of ``"x"`` and of the targets, but for chain and
                draw, in the place of the usual ones. The first of the targets names the rows.
            coords: labels by dimension.
            seed: of the draws.

        Beside the groups of ArviZ's schema: ``structure``, what :meth:`structure` says, and
        ``point_estimates``, what the model learns as numbers (the intercept and the centre of a
        regression, scales of noise and of priors), both by chain; and ``svi``, the history.

        Raises:
            ValueError: for a name in ``var_names``, ``dims`` or ``coords`` that the tree has not.
            TypeError: naming data that are no part of a data set and no pair.
        """
        draws = draw_count("draws", draws, 1)
        prior_draws = draw_count("prior_draws", prior_draws, 0)
        latent_draws = draw_count("latent_draws", latent_draws, 0)
        seed = seed_number("seed", seed)
        split = None if data is None else self._sample(in_memory(data, "data"))
        return draws_to_datatree(
            self._chains,
            self.run,
            self.example,
            draws,
            None if not isinstance(split, Split) else (split.x, split.y),
            var_names,
            seed,
            # Of a weighted fit the target has other factors than the log-likelihood of the data.
            is_training_data=split is not None
            and split.fingerprint == self.run.fingerprint
            and not self.run.weights,
            latent_draws=latent_draws,
            prior_draws=prior_draws,
            given=GivenNames(dims or {}, coords or {}),
        )

    @typed(unchecked=("data", "tree"))
    def to_inference_data(self, draws: int = 500, data: Data | None = None, **options: Any) -> Any:
        """Export as ``arviz.InferenceData`` (ArviZ 0.23); arguments of :meth:`to_arviz`.

        Raises:
            ValueError: as :meth:`to_arviz`.
            ImportError: under ArviZ 1.x, which has no ``InferenceData``.
        """
        from bayesnas.export.datatree import to_inference_data

        return to_inference_data(self.to_arviz(draws, data, **options))

    @typed(unchecked=("data", "log_weights"))
    def pareto_k(
        self, data: Data, *, draws: int = 1000, kl_weight: float | None = None, seed: int = 0
    ) -> float:
        """k̂ of importance sampling from q to the tempered target p(w) p(y | x, w)^(1/λ).

        Below 0.5 the guide is close to the target; above 0.7 it is unreliable (Yao et al. 2018).

        Args:
            data: the training data.
            draws: number of draws.
            kl_weight: λ of the target; that of the fit by default. 1 asks how far the fit is
                from the Bayesian posterior.
            seed: of the draws.

        Raises:
            TypeError: naming data that are no part of a data set and no pair.
            ValueError: naming rows that don't fit the model, draws, a seed or λ out of range.
        """
        target = self.kl_weight if kl_weight is None else kl_weight
        check_kl_weight(target)
        draws, seed = draw_count("draws", draws), seed_number("seed", seed)
        return tempered_pareto_k(self.model, *self._tensors(data), draws, target, seed)

    @typed(unchecked=("x", "data"))
    def pareto_k_of_predictions(
        self,
        x: Any,
        data: Data,
        *,
        draws: int = 1000,
        kl_weight: float | None = None,
        seed: int = 0,
    ) -> Tensor:
        r"""k̂ of the prediction of every row: may importance weights correct it?

        With r the weight of :meth:`pareto_k` and h(w) the predicted probability or mean, the
        expectation of h over the target is :math:`\sum_s r_s h_s / \sum_s r_s`, and k̂ the larger
        one of the tails of \|h\| r and of r. It is never below that of r, about equal to it where h
        is bounded, as a probability is, and above where a prediction grows in the directions in
        which the guide is too narrow. Below 0.7 the corrected prediction may be relied on. Above,
        it says nothing of the prediction as it is, without weights: see ``bayesnas.vsbc``.

        Args:
            x: inputs ``[n, ...]``, as for ``predict``.
            data: the training data.
            draws: number of draws, at least 30.
            kl_weight: λ of the target; that of the fit by default.
            seed: of the draws.

        Returns:
            ``[n]``, or ``[n, classes]``: in the shape of one draw of ``predict``.

        Raises:
            ValueError: for a model with latents of every example, or a guide that is a point.
            TypeError: naming data that are no part of a data set and no pair.

        References:
            Vehtari, Simpson, Gelman, Yao, Gabry, *Pareto smoothed importance sampling*, 2024.

        >>> import torch, bayesnas as bn
        >>> model = bn.models.GaussianNet(bn.nn.mlp([2, 3]))
        >>> data = (torch.eye(2), torch.tensor([0, 2]))
        >>> post = bn.fit(model, data, steps=5)
        >>> post.pareto_k_of_predictions(torch.zeros(4, 2), data, draws=30).shape
        torch.Size([4, 3])
        """
        target = self.kl_weight if kl_weight is None else kl_weight
        check_kl_weight(target)
        draws, seed = draw_count("draws", draws), seed_number("seed", seed)
        train = self._tensors(data)
        check_shared(self.model, train[0], seed)
        return prediction_pareto_k(self.model, *train, self._inputs(x), draws, target, seed)

    @typed(unchecked=("data",))
    def pareto_k_by_layer(
        self, data: Data, *, draws: int = 200, kl_weight: float | None = None, seed: int = 0
    ) -> dict[str, float]:
        """k̂ of the guide of every layer against the target given one draw of all other layers.

        :meth:`pareto_k` is of all weights at once, and large for any network of practice. A layer
        has fewer, so that this still tells which are off. It can't see a dependence between layers
        that one draw of the others does not show.

        Args:
            data: the training data.
            draws: of every layer, at least 30.
            kl_weight: λ of the target; that of the fit by default.
            seed: of the draws.

        Returns:
            k̂ by the names of the layers, of sites as ``"layer1.weight"`` and ``"layer1.bias"``.

        Raises:
            ValueError: for a model with latents of every example, or a guide that is a point.
            TypeError: naming data that are no part of a data set and no pair.

        >>> import torch, bayesnas as bn
        >>> model = bn.models.GaussianNet(bn.nn.mlp([2, 3, 1]), likelihood="gaussian")
        >>> data = (torch.eye(2), torch.tensor([1.0, -1.0]))
        >>> list(bn.fit(model, data, steps=5).pareto_k_by_layer(data, draws=30))
        ['layer1', 'layer2']
        """
        target = self.kl_weight if kl_weight is None else kl_weight
        check_kl_weight(target)
        draws, seed = draw_count("draws", draws), seed_number("seed", seed)
        x, y = self._tensors(data)
        check_shared(self.model, x, seed)
        return layer_pareto_k(self.model, x, y, draws, target, seed)
