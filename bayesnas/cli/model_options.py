"""Options that describe a model, and the model that they describe."""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable
from typing import Any

from torch import nn

import bayesnas as bn
from bayesnas.cli.options import inclusion, prior_scale, widths
from bayesnas.data import DataSet, Split
from bayesnas.models import BayesianModel
from bayesnas.models.autoencoders.base import Autoencoder
from bayesnas.models.registry import zoo_record

_AUTOENCODER = ("latents", "hidden", "network", "likelihood", "noise_scale", "binarize")
_NET = ("hidden", "activation", "likelihood", "noise_scale", "estimator")
_TAKEN: dict[type[BayesianModel], tuple[str, ...]] = {
    bn.models.GaussianNet: (*_NET, "prior_scale"),
    bn.models.BayesianCompressionNet: (*_NET, "prior"),
    bn.models.SpikeAndSlabNet: (*_NET, "gates", "inclusion", "slab_scale"),
    bn.models.SpikeAndSlabRegression: ("likelihood", "noise_scale", "inclusion", "slab_scale"),
    bn.models.ArdRegression: ("noise_scale", "hyperparameters"),
    bn.models.ArdVae: (*_AUTOENCODER, "relevance_prior", "decoder_prior"),
    bn.models.IndianBuffetVae: (*_AUTOENCODER, "mass", "guide_structure"),
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
        help="units of every hidden layer, as in '300 100' or '300,100'; none: linear (100; of "
        "an encoder 200 200)",
    )
    group.add_argument("--activation", help="between the layers (relu)")
    group.add_argument(
        "--prior-scale",
        type=prior_scale,
        metavar="SCALE",
        help="prior standard deviation: a number, one a layer '1,0.5', learned or ard (1.0)",
    )
    group.add_argument("--prior", help="of the scale of a group (normal-jeffreys)")
    group.add_argument("--gates", help="weights, neurons or filters (weights)")
    group.add_argument(
        "--inclusion",
        type=inclusion,
        metavar="P",
        help="prior probability that a weight exists; learned: one a layer, of spike-and-slab-net",
    )
    group.add_argument(
        "--slab-scale", type=prior_scale, metavar="SCALE", help="of a weight that exists (1.0)"
    )
    group.add_argument("--hyperparameters", help="maximum or posterior (maximum)")
    group.add_argument(
        "--likelihood",
        choices=bn.likelihoods.available(),
        help="of nets any; of the others bernoulli or gaussian (categorical for classes, gaussian "
        "for a regression)",
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
    _add_autoencoder_options(parser)


def _add_autoencoder_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("autoencoders, which ignore the targets of the data")
    group.add_argument("--latents", type=int, metavar="N", help="the most that can be used")
    group.add_argument("--network", help="mlp or convolution (mlp)")
    group.add_argument(
        "--binarize",
        action="store_true",
        default=None,
        help="draw pixels anew at every sight, 1 with the probability that a grey value gives",
    )
    group.add_argument(
        "--relevance-prior",
        help="of the scale of a dimension: half-normal, half-cauchy, gamma, log-uniform or none "
        "(half-normal)",
    )
    group.add_argument(
        "--decoder-prior", help="of the decoder's first layer: gaussian, unit or none (gaussian)"
    )
    group.add_argument("--mass", type=float, help="mean number of features of an example")
    group.add_argument("--guide-structure", help="structured or mean-field (structured)")


def model_of(args: argparse.Namespace, data: DataSet) -> BayesianModel:
    """The model that the options describe, sized for the data.

    Raises:
        ValueError: for a model that has to be fitted from Python, or an option that it does not
            take.
    """
    record = zoo_record(args.model)
    cls = record.cls
    if cls not in _TAKEN and record.for_data is None:
        raise ValueError(f"model {args.model!r} can't be fitted from here: fit it from Python")
    given = {name: getattr(args, name) for name in _OPTIONS if getattr(args, name) is not None}
    foreign = [f"--{name.replace('_', '-')}" for name in given if name not in _TAKEN.get(cls, ())]
    if foreign:
        raise ValueError(f"{args.model} does not take {', '.join(foreign)}")
    if record.for_data is not None:
        return record.for_data(data)
    make: Callable[..., BayesianModel] = cls
    if issubclass(cls, Autoencoder):
        return _autoencoder(cls, data.train, given)
    inputs = math.prod(data.train.x.shape[1:])
    if "hidden" not in _TAKEN[cls]:
        if "likelihood" in _TAKEN[cls] and data.info.task == "classification":
            given.setdefault("likelihood", "bernoulli")
        return make(inputs, **given)
    net, given["likelihood"] = network_of(
        data, given.pop("hidden", None), given.pop("activation", None), given.get("likelihood")
    )
    return make(net, **given)


def network_of(
    data: DataSet,
    hidden: list[list[int]] | None,
    activation: str | None,
    likelihood: str | None,
) -> tuple[nn.Module, str]:
    """A perceptron that fits the data, and the likelihood of its targets."""
    if likelihood is None:
        likelihood = "gaussian" if data.info.task == "regression" else "categorical"
    inner = itertools.chain.from_iterable([[100]] if hidden is None else hidden)
    sizes = [math.prod(data.train.x.shape[1:]), *inner, _outputs(data.train, likelihood)]
    return bn.nn.mlp(sizes, "relu" if activation is None else activation), likelihood


def _autoencoder(
    make: Callable[..., BayesianModel], train: Split, given: dict[str, Any]
) -> BayesianModel:
    """An autoencoder of examples; values in [0, 1] are pixels unless the options say otherwise."""
    given = {name: None if value == "none" else value for name, value in given.items()}
    if "hidden" in given:
        given["hidden"] = list(itertools.chain.from_iterable(given["hidden"]))
    is_pixels = bool(((train.x >= 0) & (train.x <= 1)).all())
    given.setdefault("likelihood", "bernoulli" if is_pixels else "gaussian")
    return make(tuple(train.x.shape[1:]), **given)


def _outputs(train: Split, likelihood: str) -> int:
    """Width of the last layer."""
    if likelihood == "categorical" and train.info.classes is not None:
        return train.info.classes
    each = 2 if likelihood == "heteroscedastic" else 1
    return each * math.prod(train.y.shape[1:])
