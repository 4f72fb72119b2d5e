"""Options that describe a model, and the model that they describe."""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable

import bayesnas as bn
from bayesnas._cli.options import prior_scale, widths
from bayesnas.data import DataSet, Split
from bayesnas.models import BayesianModel, zoo_class

_NET = ("hidden", "activation", "likelihood", "noise_scale", "estimator")
_TAKEN: dict[type[BayesianModel], tuple[str, ...]] = {
    bn.models.GaussianNet: (*_NET, "prior_scale"),
    bn.models.BayesianCompressionNet: (*_NET, "prior"),
    bn.models.SpikeAndSlabNet: (*_NET, "gates", "inclusion", "slab_scale"),
    bn.models.SpikeAndSlabRegression: ("likelihood", "noise_scale", "inclusion", "slab_scale"),
    bn.models.ArdRegression: ("noise_scale", "hyperparameters"),
}
_OPTIONS = tuple(dict.fromkeys(itertools.chain.from_iterable(_TAKEN.values())))


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The model and its options; what is not given is as in Python."""
    parser.add_argument("model", help="name of a model, see `bayesnas models`")
    group = parser.add_argument_group("model (which model takes what: see docs/cli.md)")
    group.add_argument(
        "--hidden",
        nargs="+",
        type=widths,
        metavar="WIDTH",
        help="units of every hidden layer, as in '300 100' or '300,100'; none: linear (100)",
    )
    group.add_argument("--activation", help="between the layers (relu)")
    group.add_argument(
        "--prior-scale",
        type=prior_scale,
        metavar="SCALE",
        help="prior standard deviation: a number, one a layer '1,0.5', or learned (1.0)",
    )
    group.add_argument("--prior", help="of the scale of a group (normal-jeffreys)")
    group.add_argument("--gates", help="weights, neurons or filters (weights)")
    group.add_argument(
        "--inclusion", type=float, metavar="P", help="prior probability that a weight exists"
    )
    group.add_argument(
        "--slab-scale", type=prior_scale, metavar="SCALE", help="of a weight that exists (1.0)"
    )
    group.add_argument("--hyperparameters", help="maximum or posterior (maximum)")
    group.add_argument(
        "--likelihood",
        choices=("categorical", "bernoulli", "gaussian"),
        help="(categorical for classes, gaussian for a regression)",
    )
    group.add_argument(
        "--noise-scale",
        type=float,
        metavar="SCALE",
        help="standard deviation of the noise of a gaussian likelihood (learned)",
    )
    group.add_argument(
        "--estimator",
        choices=("local", "weight"),
        help="sample the outputs of layers, or the weights once a batch (local)",
    )


def model_of(args: argparse.Namespace, data: DataSet) -> BayesianModel:
    """The model that the options describe, sized for the data.

    Raises:
        ValueError: for a model that has to be fitted from Python, or an option that it does not
            take.
    """
    cls = zoo_class(args.model)
    if cls not in _TAKEN:
        raise ValueError(f"model {args.model!r} can't be fitted from here: fit it from Python")
    given = {name: getattr(args, name) for name in _OPTIONS if getattr(args, name) is not None}
    foreign = [f"--{name.replace('_', '-')}" for name in given if name not in _TAKEN[cls]]
    if foreign:
        raise ValueError(f"{args.model} does not take {', '.join(foreign)}")
    make: Callable[..., BayesianModel] = cls
    inputs = math.prod(data.train.x.shape[1:])
    if "hidden" not in _TAKEN[cls]:
        if "likelihood" in _TAKEN[cls] and data.info.task == "classification":
            given.setdefault("likelihood", "bernoulli")
        return make(inputs, **given)
    likelihood = given.setdefault(
        "likelihood", "gaussian" if data.info.task == "regression" else "categorical"
    )
    hidden = list(itertools.chain.from_iterable(given.pop("hidden", [[100]])))
    sizes = [inputs, *hidden, _outputs(data.train, likelihood)]
    return make(bn.nn.mlp(sizes, given.pop("activation", "relu")), **given)


def _outputs(train: Split, likelihood: str) -> int:
    """Width of the last layer."""
    if likelihood == "categorical" and train.info.classes is not None:
        return train.info.classes
    return math.prod(train.y.shape[1:])
