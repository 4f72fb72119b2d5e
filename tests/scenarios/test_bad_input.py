"""Bad input: an error that names the argument, before any training, with nothing written."""

from __future__ import annotations

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import bayesnas as bn

FIT = {"steps": 6, "batch_size": 8}


def with_value(values, place, value):
    changed = values.clone().to(torch.float32 if isinstance(value, float) else values.dtype)
    changed[place] = value
    return changed


DATA = {
    "NaN in x": (lambda x, y: (with_value(x, (3, 1), math.nan), y), r"finite, got nan at \[3, 1\]"),
    "infinite x": (lambda x, y: (with_value(x, (0, 2), -math.inf), y), "finite, got -inf"),
    "x beyond float32": (lambda x, y: (x.double() * 1e300, y), "x must be finite"),
    "label C": (lambda x, y: (x, with_value(y, 5, 3)), r"labels in 0…2 .*from 0 to 3"),
    "label -1": (lambda x, y: (x, with_value(y, 5, -1)), "got -1 in row 5"),
    "label 1.5": (lambda x, y: (x, with_value(y, 5, 1.5)), r"whole numbers, got 1\.5 in row 5"),
    "label NaN": (lambda x, y: (x, with_value(y, 5, math.nan)), "y must be finite, got nan"),
    "labels by two": (lambda x, y: (x, y[:, None].expand(-1, 2)), r"one a row, got \[27, 2\]"),
    "different length": (lambda x, y: (x, y[:-1]), "same length, got 27 and 26"),
    "empty": (lambda x, y: (x[:0], y[:0]), "at least one row"),
    "no features": (lambda x, y: (x[:, :0], y), "at least one row and one feature"),
    "x of one axis": (lambda x, y: (x[:, 0], y), r"net does not take inputs x of shape \['n'\]"),
    "other width": (lambda x, y: (x[:, :3], y), r"net does not take inputs x of shape \['n', 3\]"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DATA)
def test_data(refused, xy, kind):
    change, message = DATA[kind]
    refused(ValueError, rf"^data: .*{message}", data=change(*xy))


@pytest.mark.parametrize("kind", DATA)
def test_validation_data(refused, xy, kind):
    change, message = DATA[kind]
    refused(ValueError, rf"^validation: .*{message}", validation=change(*xy))


@pytest.mark.parametrize(
    "data", [None, 3, "digits", (torch.zeros(3, 4),), np.zeros((2, 4)), [[0.0, 1.0], [1, 0]]]
)
def test_data_of_another_kind(refused, data):
    refused(TypeError, "^data: data must be a part of a data set", data=data)


def test_whole_data_set_instead_of_a_part(refused):
    model = bn.models.GaussianNet(bn.nn.mlp([64, 10]))
    refused(TypeError, r"data\.train.*got DataSet", model=model, data=bn.data.load("digits"))


def test_net_of_another_width_than_the_classes(refused):
    digits = bn.data.load("digits").train
    for width in (9, 11):
        model = bn.models.GaussianNet(bn.nn.mlp([64, width]))
        message = rf"outputs of shape \[n, 10\].*on data of 10 classes, got \['n', {width}\]"
        refused(ValueError, message, model=model, data=digits)


@pytest.mark.parametrize(
    ("likelihood", "widths", "target", "message"),
    [
        ("gaussian", [4, 2], lambda y: y.float(), r"y must have shape \['n', 2\]"),
        ("gaussian", [4, 1], lambda y: y.float().log(), "y must be finite, got -inf"),
        ("gaussian", [4, 1], lambda y: y.float()[:, None].expand(-1, 3), r"got \['n', 3\]"),
        ("bernoulli", [4, 1], lambda y: y, "zeros and ones .*got values from 0 to 2"),
        ("bernoulli", [4, 3], lambda y: y % 2, r"y must have shape \['n', 3\]"),
    ],
)
def test_targets_of_a_likelihood(refused, xy, likelihood, widths, target, message):
    model = bn.models.GaussianNet(bn.nn.mlp(widths), likelihood=likelihood)
    refused(ValueError, message, model=model, data=(xy[0], target(xy[1])))


def test_task_of_the_data(refused):
    diabetes = bn.data.load("diabetes").train
    model = bn.models.GaussianNet(bn.nn.mlp([10, 3]))
    refused(ValueError, "for classification, got data for regression", model=model, data=diabetes)


@pytest.mark.parametrize("model", [None, "gaussian-net", bn.nn.mlp([4, 3]), bn.models.GaussianNet])
def test_model_of_another_kind(refused, model):
    refused(TypeError, r"model must be one of bayesnas\.models", model=model)


def test_hook_that_is_none(refused):
    refused(TypeError, "on_step must be a function of a StepEvent, got 'print'", on_step="print")


def pair(model_sites=("w",), guide_sites=("w",), parameters=True):
    def model(x, y=None):
        for site in model_sites:
            pyro.sample(site, dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(torch.zeros(len(x)), 1.0), obs=y)

    def guide(x, y=None):
        loc = pyro.param("loc", torch.tensor(0.0)) if parameters else torch.tensor(0.0)
        for site in guide_sites:
            pyro.sample(site, dist.Normal(loc, 0.1))

    return bn.models.PyroPair(model, guide)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (pair(("w", "v"), ("w",)), r"got \['v'\] only in the model"),
        (pair(("w",), ("w", "v")), r"\['v'\] only in the guide"),
        (pair(parameters=False), "model must have parameters to train"),
    ],
)
def test_pair_that_does_not_match(refused, xy, model, message):
    refused(ValueError, message, model=model, data=(xy[0], xy[0][:, 0]))


def test_model_that_can_not_be_validated(refused, xy):
    """It observes two sites, none of them "y": seen before an epoch is over."""

    def model(x, y=None):
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("target", dist.Normal(w * x[:, 0], 1.0), obs=y)
            pyro.sample("other", dist.Normal(w, 1.0), obs=y)

    other = bn.models.PyroPair(model, pair().guide_fn)
    data = (xy[0], xy[0][:, 0])
    message = "must sample its targets at a site called 'y'"
    refused(ValueError, message, model=other, data=data, validation=data)


def test_net_whose_layers_do_not_fit(refused):
    model = bn.models.GaussianNet(nn.Sequential(nn.Linear(4, 5), nn.Linear(6, 3)))
    refused(ValueError, "^data: net does not take inputs", model=model)


# Unknown names ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "near"), [("mnst", "mnist"), ("digit", "digits"), ("cifar", "cifar10")]
)
def test_unknown_data_set(name, near):
    with pytest.raises(ValueError, match=f"{name!r}.*did you mean .*{near}"):
        bn.data.load(name)


@pytest.mark.parametrize("name", ["gausian-net", "GaussNet", "gaussian_net"])
def test_unknown_model(name):
    with pytest.raises(ValueError, match=f"got '{name}'; did you mean .*[gG]aussian-?[nN]et"):
        bn.models.zoo_class(name)


# Reading a posterior ---------------------------------------------------------------------------


@pytest.fixture
def post(net, xy):
    return bn.fit(net, xy, **FIT)


@pytest.mark.parametrize("shape", [(5, 3), (5,), (5, 4, 1), (0, 4)])
def test_predict_on_another_shape(post, shape):
    with pytest.raises(ValueError, match=r"x must have shape \['n', 4\].*as in training"):
        post.predict(torch.zeros(shape))


@pytest.mark.parametrize("draws", [0, -1, 2.5, None])
def test_predict_without_draws(post, xy, draws):
    with pytest.raises(ValueError, match="draws must be a whole number >= 1"):
        post.predict(xy[0], draws)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("other width", r"x must have shape \['n', 4\]"),
        ("different length", "same length"),
        ("empty", "at least one row"),
        ("NaN in x", "x must be finite"),
        ("label C", r"labels in 0…2"),
        ("label -1", "got -1 in row 5"),
        ("label 1.5", "whole numbers"),
    ],
)
def test_evaluate_on_bad_data(post, xy, kind, message):
    data = DATA[kind][0](*xy)
    for act in (post.evaluate, post.pareto_k, lambda data: post.to_arviz(2, data)):
        with pytest.raises(ValueError, match=message):
            act(data)
