"""Classification with a prior over structure, as an estimator of scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, column_or_1d, validate_data

from bayesnas.models.base import BayesianModel
from bayesnas.sklearn.base import DRAWS_SEED, Array, StructureEstimator


class BayesianStructureClassifier(ClassifierMixin, StructureEstimator):  # type: ignore[misc]
    r"""A model of the zoo as a classifier of scikit-learn.

    ``fit`` maximises :math:`\sum_i w_i\, E_q \ln p(y_i \mid x_i) - \lambda\, KL(q \,\|\, p)`, where
    :math:`w_i` is the weight of a row times that of its class. Rows that stand there twice are one
    row with the sum of their weights, so the result depends neither on that nor on their order.

    Args:
        model: name in ``bayesnas.models.available()``: ``"gaussian-net"``,
            ``"spike-and-slab-net"``, ``"bayesian-compression"``, or, of two classes,
            ``"spike-and-slab-regression"``; or a model that is made, of as many inputs as there
            are features.
        hidden: widths of the hidden layers of a network, ``(100,)`` by default, ``()`` for a linear
            one.
        activation: between the layers, ``"relu"`` by default.
        model_options: other arguments of the model, such as ``{"prior_scale": 0.3}``.
        kl_weight: λ >= 0: the larger, the simpler the network; ``"auto"`` for that of
            the model.
        epochs: passes over the rows; or
        steps: optimiser steps; without either as many as the model finds enough, 3,000 or more.
        batch_size: rows in a step; None for that of the model.
        lr: learning rate at the start; None for that of the model.
        restarts: fits from different starts, of which the best predicts.
        standardise: give every feature mean 0 and standard deviation 1 on the training rows.
        draws: of the weights, over which predictions are averaged.
        device: ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"``.
        verbose: show a progress bar, where stderr is a terminal.
        random_state: of the fit: a whole number, a ``RandomState``, or None. Predictions always
            see the same draws.
        class_weight: ``"balanced"``, or a dict from labels to weights.

    Attributes:
        classes_: labels, as they came, in ascending order.
        posterior_: the fitted :class:`~bayesnas.Posterior`, of standardised rows: ``to_arviz``,
            ``prune``, ``compact``, ``save``, ...
        feature_importances_: ``[d]``, from the structure; which number, its description says.
        n_features_in_: d.
        feature_names_in_: names of the columns, where x was a table.

    References:
        Graves, *Practical variational inference for neural networks*, 2011; of each model its own.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> y = np.where(x[:, 0] > 0, "yes", "no")
    >>> net = BayesianStructureClassifier(hidden=(), steps=100, lr=0.05, random_state=0).fit(x, y)
    >>> net.predict(np.array([[3.0, 0, 0], [-3.0, 0, 0]])).tolist()
    ['yes', 'no']
    >>> int(net.feature_importances_.argmax())
    0
    """

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
        class_weight: str | Mapping[Any, float] | None = None,
    ) -> None:
        super().__init__(
            model,
            hidden=hidden,
            activation=activation,
            model_options=model_options,
            kl_weight=kl_weight,
            epochs=epochs,
            steps=steps,
            batch_size=batch_size,
            lr=lr,
            restarts=restarts,
            standardise=standardise,
            draws=draws,
            device=device,
            verbose=verbose,
            random_state=random_state,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Fit the model.

        Args:
            X: numbers ``[n, d]``.
            y: labels ``[n]``: text, numbers or booleans, of two classes or more.
            sample_weight: ``[n]`` numbers >= 0; None: all 1.

        Returns:
            the estimator.

        Raises:
            ValueError: naming what is no such input, or an argument that does not fit.
        """
        x, y = validate_data(self, X, y, dtype=np.float64, y_numeric=False)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        weights = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must have two classes or more, got 1 class: {self.classes_[0]}")
        weights = weights * self._of_classes(y, weights)[labels]
        return self._fit_rows(
            x, labels, weights, "classification", [str(name) for name in self.classes_]
        )

    def _of_classes(self, y: Array, weights: Array) -> Array:
        """A weight for every class, those that no row of positive weight has being 1."""
        by_class = np.ones(len(self.classes_))
        counted = weights > 0
        seen = np.isin(self.classes_, y[counted])
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            # Not by compute_class_weight, which weighs no rows before scikit-learn 1.7.
            totals = np.bincount(np.searchsorted(self.classes_, y), weights)[seen]
            by_class[seen] = totals.sum() / (len(totals) * totals)
        else:
            by_class[seen] = compute_class_weight(
                self.class_weight, classes=self.classes_[seen], y=y[counted]
            )
        return by_class

    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """Probabilities of the classes, averaged over draws of the weights.

        Args:
            X: numbers ``[n, d]``.

        Returns:
            ``[n, classes]``, in the order of ``classes_``.

        Raises:
            NotFittedError: before ``fit``.
            ValueError: for inputs that are not those of the fit.
        """
        parts = []
        for rows in self._parts(X):
            mean = self.posterior_.predict(rows, self.draws, seed=DRAWS_SEED).mean(0).cpu().numpy()
            parts.append(np.column_stack([1 - mean, mean]) if mean.ndim == 1 else mean)
        return np.concatenate(parts)

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The likeliest class of every row, ``[n]`` labels as ``fit`` got them.

        Raises:
            NotFittedError: before ``fit``.
            ValueError: for inputs that are not those of the fit.
        """
        probabilities = self.predict_proba(X)
        labels: Array = self.classes_[probabilities.argmax(1)]
        return labels
