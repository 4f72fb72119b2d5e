"""Regression with a prior over structure, as an estimator of scikit-learn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import _check_sample_weight, column_or_1d, validate_data

from bayesnas.checks import flag
from bayesnas.sklearn.base import DRAWS_SEED, Array, StructureEstimator

_OF_ONE_TARGET = ("ard-regression", "spike-and-slab-regression")


class BayesianStructureRegressor(RegressorMixin, StructureEstimator):  # type: ignore[misc]
    r"""A model of the zoo as a regressor of scikit-learn.

    ``fit`` maximises :math:`\sum_i w_i\, E_q \ln p(y_i \mid x_i) - \lambda\, KL(q \,\|\, p)`. Rows
    that stand there twice are one row with the sum of their weights, so the result depends neither
    on that nor on their order.

    Args:
        model: name in ``bayesnas.models.available()``: ``"gaussian-net"``,
            ``"spike-and-slab-net"``, ``"bayesian-compression"``, ``"ard-regression"`` or
            ``"spike-and-slab-regression"``; or a model that is made, of as many inputs as there are
            features.
        hidden: widths of the hidden layers of a network, ``(100,)`` by default, ``()`` for a linear
            one.
        activation: between the layers, ``"relu"`` by default.
        model_options: other arguments of the model, such as ``{"likelihood": "heteroscedastic"}``.
        kl_weight: λ >= 0: the larger, the simpler the network; ``"auto"`` for that of
            the model.
        epochs: passes over the rows; or
        steps: optimiser steps; without either as many as the model finds enough, 3,000 or more.
        batch_size: rows in a step; None for that of the model.
        lr: learning rate at the start; None for that of the model.
        restarts: fits from different starts, of which the best predicts.
        standardise: give every feature, and y but for counts, mean 0 and standard deviation 1 on
            the training rows. Predictions are in the units that came.
        draws: of the weights, over which predictions are averaged.
        device: ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"``.
        verbose: show a progress bar, where stderr is a terminal.
        random_state: of the fit: a whole number, a ``RandomState``, or None. Predictions always
            see the same draws.

    Attributes:
        posterior_: the fitted :class:`~bayesnas.Posterior`, of standardised rows: ``to_arviz``,
            ``interval``, ``prune``, ``compact``, ``save``, ...
        feature_importances_: ``[d]``, from the structure; which number, its description says.
        n_features_in_: d.
        feature_names_in_: names of the columns, where x was a table.

    References:
        Graves, *Practical variational inference for neural networks*, 2011; of each model its own.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> y = 5 + 2 * x[:, 0]
    >>> model = BayesianStructureRegressor("ard-regression", steps=150, random_state=0).fit(x, y)
    >>> mean, deviation = model.predict(np.array([[1.0, 0.0, 0.0]]), return_std=True)
    >>> bool(abs(mean[0] - 7) < 0.1), deviation.shape
    (True, (1,))
    """

    def __sklearn_tags__(self) -> Any:
        """As scikit-learn wants them: networks take several targets a row."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = self.model not in _OF_ONE_TARGET
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Fit the model.

        Args:
            X: numbers ``[n, d]``.
            y: numbers ``[n]``, or ``[n, k]`` of a network; one column counts as ``[n]``.
            sample_weight: ``[n]`` numbers >= 0; None: all 1.

        Returns:
            the estimator.

        Raises:
            ValueError: naming what is no such input, or an argument that does not fit.
        """
        x, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, multi_output=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if y.ndim == 2 and self.model in _OF_ONE_TARGET:
            raise ValueError(
                f"y must have one number a row for {self.model!r}, got {y.shape[1]}: a network "
                "such as 'gaussian-net' takes several"
            )
        weights = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
        return self._fit_rows(x, np.asarray(y, dtype=np.float64), weights, "regression", None)

    def predict(self, X: Any, return_std: bool = False) -> Array | tuple[Array, Array]:  # noqa: N803
        r"""Means of the targets, and their standard deviations if asked for.

        .. math:: V[y] = E_w V[y \mid w] + V_w E[y \mid w]

        Args:
            X: numbers ``[n, d]``.
            return_std: give the standard deviation of a new target too, noise included.

        Returns:
            ``[n]``, or ``[n, k]``, as y was in ``fit``; or a pair of them.

        Raises:
            NotFittedError: before ``fit``.
            ValueError: for inputs that are not those of the fit.
            TypeError: for ``return_std`` that is neither True nor False.
        """
        return_std = flag("return_std", return_std)
        parts = [
            self.posterior_.moments(rows, self.draws, seed=DRAWS_SEED) for rows in self._parts(X)
        ]
        mean, deviation = (
            np.concatenate([part.double().cpu().numpy() for part in ends])
            for ends in zip(*parts, strict=True)
        )
        units = self.posterior_.data.standardisation
        if units is not None and units.y_mean is not None and units.y_scale is not None:
            shift, scale = (
                np.asarray(each)[0 if mean.ndim == 1 else slice(None)]
                for each in (units.y_mean, units.y_scale)
            )
            mean, deviation = mean * scale + shift, deviation * scale
        return (mean, deviation) if return_std else mean
