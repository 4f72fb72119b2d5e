"""The posterior that a fit returns: predictions, structure, pruning, export, files."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bayesnas.compaction import compact
from bayesnas.complexity import nats_to_bits
from bayesnas.data import DataInfo, Split
from bayesnas.inference.checkpoint import ChainRecord
from bayesnas.inference.description import RunDescription
from bayesnas.inference.draws import Chain, draws_to_datatree, padded_history, tempered_pareto_k
from bayesnas.inference.evaluation import evaluate, kl_of
from bayesnas.inference.predictive import conditional_means, posterior_draws
from bayesnas.inference.pruning_curve import PRUNING_FRACTIONS, pruned, pruning_curve
from bayesnas.inference.runs import Example, RunFolder
from bayesnas.inference.session import RandomStream, pyro_session, resolve_device
from bayesnas.inference.settings import FitSettings, check_kl_weight, whole
from bayesnas.inference.training import HISTORY
from bayesnas.models.base import BayesianModel
from bayesnas.pruning import Criterion

if TYPE_CHECKING:
    import xarray as xr

Data = Split | tuple[Tensor, Tensor]

_LAST_STEPS = 100  # over which the bound is averaged to compare chains


class Posterior:
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

    def __init__(self, run: RunDescription, chains: Sequence[Chain], example: Example) -> None:
        """Hold fitted chains; see the class."""
        self.run = run
        self._chains = list(chains)
        self.example = example
        self.best = min(range(len(chains)), key=lambda c: _final_loss(chains[c].history))

    @classmethod
    def restore(
        cls,
        run: RunDescription,
        records: Sequence[ChainRecord],
        example: Example,
        device: torch.device,
    ) -> Posterior:
        """Build fitted models from their saved states."""
        example = (example[0].to(device), example[1].to(device))
        chains = [
            Chain(_restored(run.model, record, example), record.history, record.validation_nll)
            for record in records
        ]
        return cls(run, chains, example)

    # What was fitted ----------------------------------------------------------------------

    @property
    def model(self) -> BayesianModel:
        """Fitted model of the best chain; ``model.model`` and ``model.guide`` are plain Pyro."""
        return self._chains[self.best].model

    @property
    def chains(self) -> int:
        """Number of chains."""
        return len(self._chains)

    @property
    def kl_weight(self) -> float:
        """λ of the fit."""
        return self.run.settings.kl_weight

    @property
    def settings(self) -> FitSettings:
        """Settings of the fit."""
        return self.run.settings

    @property
    def data(self) -> DataInfo:
        """What is known of the training data: name, classes, standardisation."""
        return self.run.data

    def chain(self, index: int) -> Posterior:
        """Return the posterior of one chain alone."""
        if not 0 <= index < self.chains:
            raise ValueError(f"index must be in 0…{self.chains - 1}, got {index!r}")
        return Posterior(self.run, [self._chains[index]], self.example)

    def to(self, device: str | torch.device) -> Posterior:
        """Return a copy on another device."""
        where = resolve_device(device)
        return Posterior.restore(self.run, self.records(), self.example, where)

    def history(self) -> xr.Dataset:
        """Loss (−𝓛), its two terms and λ of every step, dims ``(chain, step)``, in nats.

        Chains that stopped early end in NaN.
        """
        import xarray as xr

        rows = padded_history([chain.history for chain in self._chains])
        return xr.Dataset(
            {name: (("chain", "step"), rows[:, :, i].numpy()) for i, name in enumerate(HISTORY)}
        )

    # How good, how simple -----------------------------------------------------------------

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
            ``elbo_error``, the Monte Carlo standard error of ``elbo``. All in nats.
        """
        whole("draws", draws, 0)
        x, y = self._tensors(data)
        return evaluate(self.model, x, y, self.kl_weight, draws, seed)

    def predict(self, x: Tensor, draws: int = 100, *, seed: int = 0) -> Tensor:
        """Predict under ``draws`` draws of the weights, one draw for all rows.

        Args:
            x: inputs ``[n, ...]``.
            draws: number of draws.
            seed: of the draws.

        Returns:
            class probabilities ``[draws, n, classes]``, P(y = 1) ``[draws, n]`` for a Bernoulli
            likelihood, or conditional means ``[draws, n]`` for a Gaussian one.
        """
        whole("draws", draws, 1)
        self._check_inputs(x)
        x = x.to(self.example[0])
        model = self.model.eval()
        found = posterior_draws(model, self.example[0], draws, seed)
        return torch.stack([conditional_means(model, x, draw) for draw in found])

    def sample(self, draws: int = 100, *, seed: int = 0) -> dict[str, Tensor]:
        """Draw the latent sites: ``[draws, ...]`` by site."""
        whole("draws", draws, 1)
        found = [d.values for d in posterior_draws(self.model, self.example[0], draws, seed)]
        return {site: torch.stack([values[site] for values in found]) for site in found[0]}

    def structure(self) -> xr.Dataset:
        """What the posterior says of the structure: values in [0, 1], one variable a site."""
        return self.model.structure()

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
        kl = kl_of(self.model, *self.example, draws=draws, seed=0)
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

    # Smaller networks ---------------------------------------------------------------------

    def prune(
        self,
        *,
        fraction: float | None = None,
        threshold: float | None = None,
        by: Criterion = "density",
        seed: int = 0,
    ) -> Posterior:
        """Remove weights: those with the largest relative density at zero first (Graves 2011).

        Removed weights are exactly zero in means and draws, and leave the KL. Give one of:

        Args:
            fraction: share of all weights (biases included) removed, over all layers together.
            threshold: removes where ρ = exp(−μ²/2σ²) ≥ threshold, or, by magnitude, where
                |μ| ≤ threshold.
            by: ``"density"`` ρ, ``"magnitude"`` |μ|, or ``"random"``, the baseline.
            seed: of the random order.

        Returns:
            a new posterior; this one stays as it is.

        Raises:
            ValueError: for both or neither of ``fraction`` and ``threshold``, or out of range.
            TypeError: for a model without weights to prune.
        """
        chains = [
            Chain(pruned(c.model, fraction, threshold, by, seed), c.history, c.validation_nll)
            for c in self._chains
        ]
        return Posterior(self.run, chains, self.example)

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

    def compact(self) -> nn.Module:
        """Return a plain module at the posterior means, dead groups physically removed."""
        plain = self.model.plain_module().eval()
        return compact(plain, self.example[0])

    # Reading it elsewhere -----------------------------------------------------------------

    def to_arviz(
        self,
        draws: int = 500,
        data: Data | None = None,
        *,
        var_names: Sequence[str] | None = None,
        seed: int = 0,
    ) -> xr.DataTree:
        """Export draws of every chain as the tree that ArviZ reads.

        Args:
            draws: draws a chain.
            data: adds posterior_predictive, log_likelihood (pointwise, unscaled),
                observed_data and constant_data for its rows; for the training data also the
                tempered log target ``lp`` in sample_stats.
            var_names: sites to export; all by default. log_prior and log_q stay complete.
            seed: of the draws.
        """
        whole("draws", draws, 1)
        split = None if data is None else self._split(data)
        return draws_to_datatree(
            self._chains,
            self.run,
            self.example,
            draws,
            None if split is None else self._on_device(split),
            var_names,
            seed,
            is_training_data=split is not None and split.fingerprint == self.run.fingerprint,
        )

    def to_inference_data(self, draws: int = 500, data: Data | None = None, **options: Any) -> Any:
        """Export as ``arviz.InferenceData`` (ArviZ 0.23); arguments of :meth:`to_arviz`."""
        from bayesnas.export import to_inference_data

        return to_inference_data(self.to_arviz(draws, data, **options))

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
        """
        target = self.kl_weight if kl_weight is None else kl_weight
        check_kl_weight(target)
        return tempered_pareto_k(self.model, *self._tensors(data), draws, target, seed)

    def records(self) -> list[ChainRecord]:
        """Parameters and history of every chain, on the CPU."""
        return [
            ChainRecord(
                {k: v.detach().cpu().clone() for k, v in chain.model.state_dict().items()},
                chain.history,
                chain.validation_nll,
            )
            for chain in self._chains
        ]

    def save(self, path: str | Path) -> None:
        """Write the run to a folder: JSON and safetensors, no pickle.

        Raises:
            FileExistsError: if the folder holds a run.
            OSError: where it can't be written.
        """
        RunFolder.open(path, self.run).finish(self.records(), self.example)

    def _tensors(self, data: Data) -> Example:
        return self._on_device(self._split(data))

    def _split(self, data: Data) -> Split:
        split = Split.of(data, task=None if isinstance(data, Split) else self.model.task)
        self._check_inputs(split.x)
        return split

    def _on_device(self, split: Split) -> Example:
        like_x, like_y = self.example
        x, y = split.x.to(like_x.device), split.y.to(like_y)
        self.model.check(x, y)
        return x, y

    def _check_inputs(self, x: Tensor) -> None:
        if not isinstance(x, Tensor):
            raise TypeError(f"x must be a torch tensor, got {type(x).__name__}")
        expected = self.example[0].shape[1:]
        if x.shape[1:] != expected or len(x) == 0:
            raise ValueError(
                f"x must have shape {['n', *expected]} with n >= 1, as in training, "
                f"got {list(x.shape)}"
            )

    def __repr__(self) -> str:
        """Model, data and KL weight on one line."""
        chains = "" if self.chains == 1 else f", {self.chains} chains"
        return (
            f"Posterior({self.model.describe()} on {self.data.name}, "
            f"kl_weight={self.kl_weight:g}{chains})"
        )


def _restored(model: BayesianModel, record: ChainRecord, example: Example) -> BayesianModel:
    fresh = copy.deepcopy(model).to(example[0].device)
    with pyro_session(RandomStream(0, example[0].device)):
        fresh.prepare(*example)
    fresh.load_state_dict(record.state)
    return fresh.eval()


def _final_loss(history: Tensor) -> float:
    loss = history[-_LAST_STEPS:, HISTORY.index("loss")].mean().item()
    return loss if loss == loss else float("inf")
