"""Classifier and regressor: numbers beside other implementations, and use in pipelines."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import DataConversionWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ARDRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import bayesnas as bn
from bayesnas.likelihoods import make_likelihood
from bayesnas.sklearn import BayesianStructureClassifier, BayesianStructureRegressor

QUICK = {"hidden": (), "steps": 60, "lr": 0.1, "draws": 20, "device": "cpu", "random_state": 0}


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3))
    names = np.array(["low", "mid", "high"])
    return x, names[np.digitize(x[:, 1], [-0.5, 0.5])]


def quick_classifier(**options):
    return BayesianStructureClassifier(**{**QUICK, **options})


def test_labels_of_text_come_back_in_sorted_order(rows):
    x, y = rows
    fitted = quick_classifier(hidden=(10,), steps=100).fit(x, y)
    assert fitted.classes_.tolist() == ["high", "low", "mid"]
    probabilities = fitted.predict_proba(x)
    assert np.allclose(probabilities.sum(1), 1)
    assert (fitted.predict(x) == fitted.classes_[probabilities.argmax(1)]).all()
    assert fitted.score(x, y) > 0.8
    assert fitted.posterior_.data.class_names == ("high", "low", "mid")


def test_the_posterior_is_that_of_fit_on_standardised_rows(rows):
    x, y = rows
    fitted = quick_classifier().fit(x, y == "low")
    scaled = (x - x.mean(0)) / x.std(0)
    draws = fitted.posterior_.predict(scaled, 20, seed=0).mean(0).numpy()
    assert np.allclose(draws, fitted.predict_proba(x), atol=1e-12)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_a_weight_is_a_repeated_row_and_order_says_nothing(rows, class_weight):
    x, y = rows
    weights = np.arange(len(x)) % 3
    weighted = quick_classifier(class_weight=class_weight).fit(x, y, weights)
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(len(x)), weights))
    repeated = quick_classifier(class_weight=class_weight).fit(x[order], y[order])
    assert np.array_equal(weighted.predict_proba(x), repeated.predict_proba(x))
    plain = quick_classifier(class_weight=class_weight).fit(x, y)
    assert not np.allclose(plain.predict_proba(x), weighted.predict_proba(x), atol=1e-3)


@pytest.mark.slow
def test_balanced_classes_are_their_weights(rows):
    x, y = rows
    counts = {name: (y == name).sum() for name in set(y)}
    weights = {name: len(y) / (3 * count) for name, count in counts.items()}
    balanced = quick_classifier(class_weight="balanced").fit(x, y)
    stated = quick_classifier(class_weight=weights).fit(x, y)
    by_row = quick_classifier().fit(x, y, [weights[name] for name in y])
    for other in (stated, by_row):
        assert np.allclose(balanced.predict_proba(x), other.predict_proba(x), atol=1e-6)


@pytest.mark.slow
def test_mean_and_deviation_are_those_of_ard_regression():
    x, y = load_diabetes(return_X_y=True)
    ours = BayesianStructureRegressor("ard-regression", steps=800, random_state=0).fit(x, y)
    theirs = ARDRegression().fit(x, y)
    mean, deviation = ours.predict(x, return_std=True)
    expected, scale = theirs.predict(x, return_std=True)
    assert np.abs(mean - expected).max() < 0.15 * y.std()
    assert np.abs(deviation / scale - 1).max() < 0.1
    assert np.array_equal(ours.predict(x), mean)


@pytest.mark.slow
def test_importances_are_inclusion_probabilities():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    y = 3 * x[:, 2] + 0.5 * rng.normal(size=200)
    fitted = BayesianStructureRegressor(
        "spike-and-slab-regression", steps=200, lr=0.1, random_state=0
    )
    fitted.fit(x, y)
    inclusion = fitted.posterior_.structure()["inclusion"].values
    assert np.allclose(fitted.feature_importances_, inclusion)
    assert fitted.feature_importances_[2] > 0.99
    assert fitted.feature_importances_[[0, 1, 3]].max() < 0.5


@pytest.mark.parametrize(
    ("model", "options"),
    [("gaussian-net", {}), ("spike-and-slab-net", {"gates": "weights"})],
)
def test_importances_of_weights_are_means_over_units(rows, model, options):
    x, y = rows
    fitted = quick_classifier(model=model, model_options=options, hidden=(5,), steps=5).fit(x, y)
    structure = fitted.posterior_.structure()
    name = "layer1.weight" if model == "gaussian-net" else "layer1.inclusion"
    assert np.allclose(fitted.feature_importances_, structure[name].mean("layer1.out"))


def test_importances_of_groups_are_those_of_the_inputs(rows):
    x, y = rows
    fitted = quick_classifier(model="bayesian-compression", hidden=(5,), steps=5).fit(x, y)
    expected = fitted.posterior_.structure()["layer1.inclusion"].values
    assert np.allclose(fitted.feature_importances_, expected)


def test_tables_give_names(rows):
    x, y = rows
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    fitted = quick_classifier().fit(table, y)
    assert fitted.feature_names_in_.tolist() == ["a", "b", "c"]
    assert fitted.posterior_.data.feature_names == ("a", "b", "c")
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(table.rename(columns={"a": "z"}))


def test_in_a_pipeline_under_cross_validation():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"size": rng.normal(size=90), "colour": rng.choice(["red", "blue"], size=90)}
    )
    y = np.where((table["colour"] == "red"), "yes", "no")
    table.loc[::10, "size"] = np.nan
    encode = make_column_transformer(
        (SimpleImputer(add_indicator=True), ["size"]), (OneHotEncoder(), ["colour"])
    )
    pipeline = make_pipeline(encode, quick_classifier())
    assert cross_val_score(pipeline, table, y, cv=3).min() > 0.9
    search = GridSearchCV(
        pipeline, {"bayesianstructureclassifier__kl_weight": [0.1, 100.0]}, cv=2
    ).fit(table, y)
    assert search.best_params_ == {"bayesianstructureclassifier__kl_weight": 0.1}


def test_what_is_copied_and_kept(rows, tmp_path):
    x, y = rows
    fitted = quick_classifier(hidden=(4,)).fit(x, y)
    again = clone(fitted)
    assert again.get_params() == fitted.get_params()
    assert not hasattr(again, "posterior_")
    other = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(other.predict_proba(x), fitted.predict_proba(x))
    fitted.posterior_.save(tmp_path / "run")
    loaded = bn.load(tmp_path / "run")
    rows = loaded.data.standardisation.apply(torch.from_numpy(x))
    assert np.array_equal(loaded.predict(rows, 20).mean(0).numpy(), fitted.predict_proba(x))


def test_a_model_that_is_made(rows):
    x, y = rows
    model = bn.models.GaussianNet(bn.nn.mlp([3, 3]), prior_scale=0.5)
    fitted = BayesianStructureClassifier(model, steps=60, lr=0.1, random_state=0).fit(x, y)
    assert fitted.posterior_.settings.steps == 60
    assert fitted.predict_proba(x).shape == (120, 3)
    with pytest.raises(ValueError, match="hidden can't come with a model that is made"):
        BayesianStructureClassifier(model, hidden=(3,)).fit(x, y)


@pytest.mark.slow
def test_two_classes_of_a_logistic_regression():
    x, y = load_breast_cancer(return_X_y=True)
    fitted = quick_classifier(model="spike-and-slab-regression", hidden=None, steps=200)
    assert fitted.fit(x, y).score(x, y) > 0.93
    assert fitted.predict_proba(x).shape == (569, 2)


def test_a_made_model_and_a_likelihood_of_ones_own_keep_counts():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 1))
    y = rng.poisson(np.exp(1 + 0.8 * x[:, 0]))
    made = bn.models.GaussianNet(bn.nn.mlp([1, 1]), likelihood="poisson")
    options = {"steps": 5, "random_state": 0}
    for model in (
        BayesianStructureRegressor(made, **options),
        BayesianStructureRegressor(
            hidden=(), model_options={"likelihood": make_likelihood("poisson")}, **options
        ),
    ):
        assert model.fit(x, y).posterior_.data.standardisation.y_mean is None


@pytest.mark.slow
def test_counts_keep_their_units():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    y = rng.poisson(np.exp(1 + 0.8 * x[:, 0]))
    fitted = BayesianStructureRegressor(
        hidden=(), model_options={"likelihood": "poisson"}, steps=400, lr=0.05, random_state=0
    ).fit(x, y)
    mean, deviation = fitted.predict(x, return_std=True)
    assert np.corrcoef(np.log(mean), x[:, 0])[0, 1] > 0.99
    assert np.abs(deviation**2 / mean - 1).max() < 0.2  # the variance of a count is its mean


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "gausian-net"}, "model must be one of .* did you mean"),
        ({"model": "ard-vae"}, "model must predict targets"),
        ({"model": "latent-structure-net"}, "no size that data give"),
        ({"kl_weight": -1.0}, "kl_weight"),
        ({"model_options": {"prior_scale": -1}}, "prior_scale"),
    ],
)
def test_wrong_arguments_are_named(rows, options, message):
    with pytest.raises(ValueError, match=message):
        quick_classifier(**options).fit(*rows)


def test_one_class_is_none(rows):
    with pytest.raises(ValueError, match="got 1 class: 0"):
        quick_classifier().fit(rows[0], np.zeros(120))


def test_several_targets_a_row():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 2))
    noise = 0.1 * rng.normal(size=(150, 2)) * [1.0, 100.0]
    y = x @ np.array([[1.0, 0.0], [0.0, 300.0]]) + [5.0, -1000.0] + noise
    options = {"hidden": (), "steps": 400, "lr": 0.05, "random_state": 0}
    model = BayesianStructureRegressor(**options).fit(x, y)
    mean, deviation = model.predict(x[:9], return_std=True)
    assert mean.shape == deviation.shape == (9, 2)
    assert model.score(x, y) > 0.98
    # In the units of each target: the noise of the second is a hundred times as wide.
    assert 0.05 < deviation[:, 0].mean() < 0.3
    assert 5 < deviation[:, 1].mean() < 60
    with pytest.warns(DataConversionWarning):
        one = BayesianStructureRegressor(**{**options, "steps": 2}).fit(x, y[:, :1])
    assert one.predict(x).shape == (150,)
    with pytest.raises(ValueError, match="y must have one number a row .* got 2"):
        BayesianStructureRegressor("ard-regression", steps=2).fit(x, y)
