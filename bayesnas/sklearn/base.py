"""What classifier and regressor share: parameters, the fit, importances."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from bayesnas.checks import draw_count, flag, naming, non_negative, shown
from bayesnas.data import DataInfo, Split, Standardisation
from bayesnas.inference.fit import fit
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.models.base import BayesianModel
from bayesnas.models.for_data import model_for_data
from bayesnas.scalars import is_whole
from bayesnas.sklearn.distinct_rows import distinct_rows
from bayesnas.sklearn.importances import importances
from bayesnas.typed import rule_of

if TYPE_CHECKING:
    from bayesnas.data.info import Task

Array = npt.NDArray[Any]

_ROWS_AT_ONCE = 10_000
_OF_COUNTS = ("poisson", "negative-binomial")
DRAWS_SEED = 0
"""Of the draws of predictions, the same at every call."""


class StructureEstimator(BaseEstimator):  # type: ignore[misc]  # untyped
    """An estimator that fits a model of the zoo; see its two subclasses."""

    def __init__(
        self,
        model: str | BayesianModel = "gaussian-net",
        *,
        hidden: Sequence[int] | None = None,
        activation: str | None = None,
        model_options: Mapping[str, Any] | None = None,
        kl_weight: float | Literal["auto"] = "auto",
        epochs: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        restarts: int = 1,
        standardise: bool = True,
        draws: int = 100,
        device: str = "auto",
        verbose: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.model = model
        self.hidden = hidden
        self.activation = activation
        self.model_options = model_options
        self.kl_weight = kl_weight
        self.epochs = epochs
        self.steps = steps
        self.batch_size = batch_size
        self.lr = lr
        self.restarts = restarts
        self.standardise = standardise
        self.draws = draws
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def _fit_rows(
        self, x: Array, y: Array, weights: Array, task: Task, class_names: Sequence[str] | None
    ) -> Self:
        """Fit the model to checked rows."""
        self._check_parameters()
        with naming("random_state"):
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        x, y, weights = distinct_rows(x, y, weights)
        split = self._split(x, y, weights, task, class_names)
        self.posterior_: Posterior = fit(
            self._model(split, seed),
            split,
            kl_weight=self.kl_weight,
            epochs=self.epochs,
            steps=self.steps,
            batch_size=self.batch_size,
            lr=self.lr,
            restarts=self.restarts,
            sample_weight=None if bool((weights == 1).all()) else weights,
            seed=seed,
            device=self.device,
            progress=bool(self.verbose),
        )
        return self

    def _check_parameters(self) -> None:
        """Refuse parameters that neither the model nor the fit would look at."""
        if self.kl_weight != "auto":  # several would give several posteriors
            non_negative("kl_weight", self.kl_weight)
        draw_count("draws", self.draws, 1)
        flag("standardise", self.standardise)
        flag("verbose", self.verbose)
        if not isinstance(self.model, (str, BayesianModel)):
            raise TypeError(f"model must be a name or a model, got {shown(self.model)}")
        if self.model_options is not None and not isinstance(self.model_options, Mapping):
            raise TypeError(
                f"model_options must be a mapping by name, got {shown(self.model_options)}"
            )
        if not isinstance(self.device, (str, torch.device)):
            raise TypeError(f"device must be its name, got {shown(self.device)}")
        if not (
            self.random_state is None
            or is_whole(self.random_state)
            or isinstance(self.random_state, (np.random.RandomState, types.ModuleType))
        ):
            raise ValueError(
                "random_state must be a whole number, a RandomState or None, got "
                f"{shown(self.random_state)}"
            )
        if self.hidden is not None:
            rule_of(Sequence[int])("hidden", self.hidden)

    def _model(self, split: Split, seed: int) -> BayesianModel:
        """The model in double precision, as scikit-learn computes."""
        if isinstance(self.model, BayesianModel):
            names = ("hidden", "activation", "model_options")
            taken = [name for name in names if getattr(self, name) is not None]
            if taken:
                raise ValueError(f"{', '.join(taken)} can't come with a model that is made")
            return self.model
        options = dict(self.model_options or {})
        for name in ("hidden", "activation"):
            if getattr(self, name) is not None:
                options[name] = getattr(self, name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # of the weights that it begins with
            with naming("model_options" if self.model_options else "model"):
                model = model_for_data(self.model, split, **options).double()
        if model.reconstructs:
            raise ValueError(f"model must predict targets, got {self.model!r}, an autoencoder")
        return model

    def _split(
        self, x: Array, y: Array, weights: Array, task: Task, class_names: Sequence[str] | None
    ) -> Split:
        """Rows as a part of a data set, standardised by weighted means and scales."""
        rows, targets = torch.from_numpy(x), torch.from_numpy(y)
        info = DataInfo(
            "table",
            "train",
            task,
            n=len(x),
            classes=None if class_names is None else len(class_names),
            class_names=None if class_names is None else tuple(class_names),
            feature_names=self._feature_names(),
            standardisation=self._standardisation(rows, targets, weights, task),
        )
        if info.standardisation is not None:
            rows = info.standardisation.apply(rows)
            targets = info.standardisation.apply_y(targets)
        return Split(rows, targets, info)

    def _standardisation(
        self, x: torch.Tensor, y: torch.Tensor, weights: Array, task: Task
    ) -> Standardisation | None:
        if not self.standardise or not len(x):
            return None
        targets = None if task == "classification" or self._likelihood_name() in _OF_COUNTS else y
        return Standardisation.fit(x, targets, weights=torch.from_numpy(weights))

    def _likelihood_name(self) -> str | None:
        """Of the likelihood that is asked for, by name, as an object, or in a model."""
        if isinstance(self.model, BayesianModel):
            given = getattr(self.model, "likelihood", None)
        else:
            given = (self.model_options or {}).get("likelihood")
        name = given if isinstance(given, str) else getattr(given, "name", None)
        return name if isinstance(name, str) else None

    def _feature_names(self) -> tuple[str, ...] | None:
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else tuple(map(str, names))

    def _rows(self, x: Any) -> torch.Tensor:
        """New rows, checked, as the model takes them."""
        check_is_fitted(self)
        draw_count("draws", self.draws, 1)
        checked = validate_data(self, x, reset=False, dtype=np.float64)
        rows = torch.tensor(checked)
        units = self.posterior_.data.standardisation
        return rows if units is None else units.apply(rows)

    def _parts(self, x: Any) -> tuple[torch.Tensor, ...]:
        """Rows so few that all draws of their predictions fit into memory."""
        rows = self._rows(x).to(self.posterior_.example[0].dtype)
        return tuple(torch.split(rows, _ROWS_AT_ONCE))

    @property
    def feature_importances_(self) -> npt.NDArray[np.float64]:
        """How much every feature matters, ``[d]`` numbers in [0, 1], from the structure.

        Of ``"spike-and-slab-regression"`` the probability that the feature is in the model, of
        ``"bayesian-compression"`` the inclusion of the input, of ``"ard-regression"`` how far the
        data determine its weight. Of ``"spike-and-slab-net"`` the inclusion probability of its
        weights, and of ``"gaussian-net"`` their relevance 1 − exp(−μ²/2σ²), both as means over the
        units of the first layer. ``posterior_.structure()`` has the whole, ``.attrs["quantity"]``
        of it says what the numbers are.

        Raises:
            NotFittedError: before ``fit``.
            AttributeError: where the structure of the model has no features.
        """
        check_is_fitted(self)
        return importances(self.posterior_.structure(), self.n_features_in_)
