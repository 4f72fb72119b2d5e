"""Options that describe a model."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping
from typing import Any

from bayesnas.cli.arguments.names import GROUP_PRIORS, LIKELIHOODS, MODEL_OPTIONS
from bayesnas.cli.arguments.values import (
    inclusion,
    operation,
    path_word,
    prior_scale,
    widths,
)

_EXAMPLES = {
    "ard-regression": "--data table.csv --target price --drop id --standardise",
    "ard-vae": "--data digits --latents 20 --hidden 100 --binarize --lr 0.003 --kl-warmup 0.2",
    "bayesian-compression": "--data digits --hidden 100,50 --prior horseshoe --validation 0.2",
    "gaussian-net": "--data digits --hidden 50 --lr 0.01 --epochs 25",
    "indian-buffet-vae": "--data digits --latents 10 --hidden 100 --lr 0.003",
    "spike-and-slab-net": "--data digits --hidden 50 --gates neurons --lr 0.01",
    "spike-and-slab-regression": "--data diabetes --standardise --inclusion 0.2",
    "supermask-net": "--data digits --hidden 100 --weights signed-constant",
}
"""Of each model, the options of a fit to begin with."""

_ALL = tuple(dict.fromkeys(itertools.chain.from_iterable(MODEL_OPTIONS.values())))


class ModelHelp(argparse.Action):
    """``--help`` that shows options and an example of the model named before it, or of all."""

    def __init__(self, **options: Any) -> None:
        """As argparse makes actions; it takes no words."""
        super().__init__(**options, nargs=0)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Print and exit."""
        model = getattr(namespace, "model", None) or ""
        taken = MODEL_OPTIONS.get(model, _ALL)
        for action in parser._actions:
            if action.dest in _ALL and action.dest not in taken:
                action.help = argparse.SUPPRESS
        if model in _EXAMPLES:
            parser.epilog = (
                f"example:\n  {parser.prog} {model} {_EXAMPLES[model]} --out runs/a\n"
                f"  {parser.prog} --config runs/a/run.toml --lr 0.003 --out runs/b"
            )
        parser.print_help()
        parser.exit()


def model_options_given(args: argparse.Namespace) -> dict[str, Any]:
    """Options of :func:`add_model_options` that stand on the command line."""
    return {name: getattr(args, name) for name in _ALL if getattr(args, name) is not None}


def check_model_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options given, if the model of this name takes them all.

    Raises:
        ValueError: naming the ones that it does not take.

    >>> check_model_options("gaussian-net", {"prior": "horseshoe"})
    Traceback (most recent call last):
    ...
    ValueError: gaussian-net does not take --prior
    """
    foreign = [n for n in given if n not in MODEL_OPTIONS.get(name, ())]
    if foreign:
        options = ", ".join(f"--{n.replace('_', '-')}" for n in foreign)
        raise ValueError(f"{name} does not take {options}")
    return dict(given)


def check_graph_options(args: argparse.Namespace) -> None:
    """Refuse layers beside a graph, and operations without one.

    Raises:
        ValueError: naming them.
    """
    if args.graph is None and args.operations is not None:
        raise ValueError("operations needs --graph FILE, the graph whose edges they are on")
    layers = [name for name in ("hidden", "activation") if getattr(args, name) is not None]
    if args.graph is not None and layers:
        raise ValueError(f"graph is a network by itself: leave {', '.join(layers)} out")
    edges = [edge for edge, _ in args.operations or ()]
    if len(set(edges)) < len(edges):
        raise ValueError(f"operations must name different edges, got {', '.join(edges)}")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The model and its options; what is not given is as in Python."""
    parser.add_argument("model", nargs="?", help="name of a model, see `bayesnas models`")
    group = parser.add_argument_group("model (bayesnas fit MODEL --help shows those of one)")
    add_network_options(group, " (100; of an encoder 200 200)")
    _add_graph_options(group)
    group.add_argument(
        "--prior-scale",
        type=prior_scale,
        metavar="SCALE",
        help="prior standard deviation: a number, one a layer '1,0.5', learned or ard (1.0)",
    )
    group.add_argument(
        "--prior",
        choices=GROUP_PRIORS,
        metavar="PRIOR",
        help=f"of the scale of a group: {', '.join(GROUP_PRIORS)} ({GROUP_PRIORS[0]})",
    )
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
    group.add_argument(
        "--weights", metavar="KIND", help="frozen at signed-constant or drawn (signed-constant)"
    )
    group.add_argument(
        "--selection", metavar="KIND", help="of masks: bernoulli or edge-popup (bernoulli)"
    )
    group.add_argument(
        "--kept", type=float, metavar="SHARE", help="of a layer's weights, of edge-popup (0.5)"
    )
    group.add_argument("--hyperparameters", help="maximum or posterior (maximum)")
    add_likelihood_options(group)
    group.add_argument(
        "--estimator",
        choices=("local", "weight"),
        help="sample the outputs of layers, or the weights once a batch (local)",
    )
    _add_autoencoder_options(parser)


def _add_graph_options(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--graph",
        type=path_word,
        metavar="FILE",
        help="a network of it in the place of layers: JSON of bayesnas.nn.Graph.to_dict()",
    )
    group.add_argument(
        "--operations",
        nargs="+",
        type=operation,
        metavar="EDGE=NAME",
        help="one on every edge of the graph that has several, as in 'x->h=conv'",
    )


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


def add_network_options(group: argparse._ActionsContainer, default: str) -> None:
    """The hidden layers of a multilayer perceptron."""
    group.add_argument(
        "--hidden",
        nargs="+",
        type=widths,
        metavar="WIDTH",
        help=f"units of every hidden layer, as in '300 100' or '300,100'; none: linear{default}",
    )
    group.add_argument("--activation", help="between the layers (relu)")


def add_likelihood_options(group: argparse._ActionsContainer) -> None:
    """What the outputs of a network say of the targets."""
    group.add_argument(
        "--likelihood",
        choices=LIKELIHOODS,
        metavar="NAME",
        help=f"of nets any of {', '.join(LIKELIHOODS)}; of the others bernoulli or gaussian "
        "(categorical for classes, gaussian for a regression)",
    )
    group.add_argument(
        "--noise-scale",
        type=float,
        metavar="SCALE",
        help="standard deviation of the noise of a gaussian likelihood (learned)",
    )
