"""scikit-learn's own checks of an estimator."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from bayesnas.sklearn import BayesianStructureClassifier, BayesianStructureRegressor

# Each of the others fits some networks, in half a second to two.
QUICK = {
    "check_all_zero_sample_weights_error",
    "check_classifiers_one_label",
    "check_classifiers_regression_target",
    "check_complex_data",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_sparse_array",
    "check_estimators_empty_data_messages",
    "check_estimators_unfitted",
    "check_fit1d",
    "check_fit2d_1sample",
    "check_get_params_invariance",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_requires_y_none",
    "check_set_params",
    "check_supervised_y_no_nan",
}
SMALL = {"hidden": (10,), "steps": 150, "lr": 0.05, "draws": 20, "device": "cpu"}


def cases():
    for estimator in (BayesianStructureClassifier(**SMALL), BayesianStructureRegressor(**SMALL)):
        for number, (each, check) in enumerate(estimator_checks_generator(estimator)):
            name = getattr(check, "func", check).__name__
            marks = [] if name in QUICK else [pytest.mark.slow]
            yield pytest.param(
                each, check, marks=marks, id=f"{type(each).__name__}-{name}-{number}"
            )


@pytest.mark.parametrize(("estimator", "check"), list(cases()))
def test_check(estimator, check):
    check(estimator)
