"""The public functions, classes and methods, each with good arguments and what is good for them."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from fuzz_call import Call
from fuzz_kinds import (
    a,
    a_model,
    a_net,
    a_path,
    callable_,
    either,
    flag,
    fraction,
    inside,
    items,
    large,
    mapping,
    never,
    non_negative,
    one_of,
    or_none,
    parameter,
    positive,
    real,
    real_tensor,
    seed,
    small,
    text,
    whole,
)
from torch import nn

import bayesnas as bn
import bayesnas.export
from bayesnas.inference import criteria

COUNT = itertools.count()


def device(value):
    return isinstance(value, torch.device) or (isinstance(value, str) and value in ("cpu", "auto"))


DATA_OPTIONS = {
    "test": real(0, 1, closed="["),
    "validation": real(0, 1, closed="["),
    "seed": whole(0, 2**32 - 1),
    "standardise": flag,
    "task": or_none(one_of("classification", "regression")),
}
NET_OPTIONS = {
    "likelihood": one_of("categorical", "gaussian", "bernoulli"),
    "noise_scale": or_none(positive),
    "estimator": one_of("local", "weight"),
    "initial_loc": one_of("random", "net"),
    "initial_scale": positive,
}
optimizer = callable_
schedule = either(one_of("cosine", "constant"), lambda v: callable(v) and not isinstance(v, type))


def calls(folder) -> list[Call]:
    """All of them; ``folder`` is where they may write."""
    torch.manual_seed(0)
    x, y = torch.randn(12, 4), torch.arange(12) % 3
    images = torch.rand(12, 6)
    net = bn.nn.mlp([4, 5, 3])
    quick = {"steps": 2, "batch_size": 8, "progress": False, "compile": False, "device": "cpu"}
    post = bn.fit(bn.models.GaussianNet(net), (x, y), **quick)
    ranged = bn.fit(bn.models.GaussianNet(net), (x, y), kl_weight=bn.LogUniform(0.1, 10.0), **quick)
    grouped = bn.fit(bn.models.BayesianCompressionNet(net), (x, y), **quick)
    post.save(folder / "run")
    bn.encode(net, folder / "net.bin")
    vae = bn.models.ArdVae(6, latents=3, hidden=(4,))
    edges = {("x", "h"): nn.Linear(4, 4), ("h", "y"): [nn.Linear(4, 3), nn.Linear(4, 3)]}
    graph = bn.nn.Graph(edges, example=x[:2])
    buffet = bn.distributions.IndianBuffet(1.0, 1.0, 3)
    cascade = bn.distributions.CascadingIndianBuffet(1.0, 1.0, 3)
    pair = a(tuple, bn.data.Split)
    logits = torch.zeros(3)
    validate = or_none(flag)
    d, m, n, inf = bn.distributions, bn.models, bn.nn, bn.inference
    knots = either(whole(2), items(positive, 2))

    def out():
        return folder / f"out{next(COUNT)}"

    fit = {
        "kl_weight": either(non_negative, items(non_negative), a(bn.LogUniform)),
        "kl_warmup": fraction,
        "amortize": or_none(never),
        "epochs": or_none(never),
        "steps": whole(1, 10**9),  # more take memory or the time that they say
        "batch_size": whole(1, 2**31),
        "lr": positive,
        "schedule": schedule,
        "clip": or_none(positive),
        "optimizer": never,
        "restarts": whole(1, 2**33),
        "batched": either(flag, one_of("auto")),
        "validation": or_none(pair),
        "patience": or_none(whole()),
        "bilevel": or_none(never),
        "objective": or_none(never),
        "seed": seed,
        "device": device,
        "compile": either(one_of("auto", "trace", "inductor", "cudagraph"), flag),
        "precision": one_of("float32", "bfloat16"),
        "progress": flag,
        "on_step": or_none(callable_),
        "out": or_none(a_path),
        "checkpoint_every": whole(),
        "resume": flag,
    }
    refine = ("batch_size", "lr", "schedule", "clip", "kl_weight", "seed")
    return [
        Call(
            "fit",
            bn.fit,
            {"model": m.GaussianNet(net), "data": (x, y), **quick},
            {"model": a_model, "data": pair, **fit},
        ),
        Call(
            "load",
            bn.load,
            {"path": folder / "run"},
            {
                "path": a_path,
                "model": or_none(a_model),
                "amortize": or_none(callable_),
                "device": device,
            },
        ),
        Call(
            "data.load",
            bn.data.load,
            {"name_or_path": "digits"},
            {
                "name_or_path": never,
                "root": or_none(a_path),
                **DATA_OPTIONS,
                "test": or_none(DATA_OPTIONS["test"]),
                "flatten": or_none(flag),
                "target": or_none(never),
                "download": flag,
                "task": or_none(never),
            },
        ),
        Call(
            "from_arrays",
            bn.data.from_arrays,
            {"x": x, "y": y},
            {
                **DATA_OPTIONS,
                "x": a(np.ndarray, torch.Tensor, list),
                "y": never,
                "name": text,
                "class_names": or_none(never),
                "feature_names": or_none(never),
            },
        ),
        Call(
            "from_dataset",
            bn.data.from_dataset,
            {"dataset": (x, y), "classes": 3},
            {
                "dataset": never,
                "n": or_none(never),
                "task": or_none(one_of("classification")),
                "classes": or_none(whole(1, 2**31)),
                "workers": whole(0, 1024),
                "prefetch": whole(1, 2**31),
                "name": text,
                "fingerprint": or_none(text),
            },
        ),
        Call(
            "Split.of",
            bn.data.Split.of,
            {"data": (x, y)},
            {"data": pair, "task": DATA_OPTIONS["task"], "classes": or_none(whole(3))},
        ),
        Call(
            "Standardisation",
            bn.data.Standardisation,
            {"x_mean": (0.0,), "x_scale": (1.0,)},
            {
                "x_mean": never,
                "x_scale": never,
                "y_mean": or_none(never),
                "y_scale": or_none(never),
            },
        ),
        # Networks
        Call(
            "mlp",
            n.mlp,
            {"widths": [4, 3]},
            {"widths": items(large, 2), "activation": never, "bias": flag},
        ),
        Call(
            "convnet",
            n.convnet,
            {"channels": [2], "hidden": [3], "image": 8, "kernel": 3},
            {
                "channels": items(large),
                "hidden": items(large, 0),
                "classes": large,
                "in_channels": large,
                "image": either(whole(4, 10**4), never),
                "kernel": whole(1, 6),
                "pool": whole(1, 6),
                "activation": never,
            },
        ),
        Call(
            "StandardisedNet",
            n.StandardisedNet,
            {"net": net, "x_mean": [0.0] * 4, "x_scale": [1.0] * 4},
            {"net": a_net, "x_mean": never, "x_scale": never, "factor": or_none(never)},
        ),
        Call("GaussianNoise", n.GaussianNoise, {"scale": 1.0}, {"scale": non_negative}),
        Call("PiecewiseMap", n.PiecewiseMap, {}, {"knots": knots, "coarse_to_fine": flag}),
        Call(
            "CurvatureMap",
            n.CurvatureMap,
            {},
            {"knots": knots, "rank": whole(), "balance": non_negative, "coarse_to_fine": flag},
        ),
        Call("LowRankMap", n.LowRankMap, {}, {"rank": whole(), "hidden": whole()}),
        Call(
            "MonotoneMap",
            n.MonotoneMap,
            {"costs": (1.0, 2.0)},
            {"costs": either(items(real(), 0), a(set, dict)), "knots": knots},
        ),
        Call(
            "Graph",
            n.Graph,
            {"edges": edges, "example": x[:2]},
            {
                "edges": never,
                "example": never,
                "aggregation": either(one_of("sum", "mean", "concat"), mapping),
            },
        ),
        Call(
            "cells",
            n.cells,
            {
                "kinds": ["normal"],
                "channels": 2,
                "nodes": 1,
                "image": 8,
                "operations": ["none", "skip_connect"],
            },
            {
                "kinds": never,
                "channels": whole(1, 65536),
                "nodes": whole(1, 4),
                "in_channels": whole(1, 65536),
                "image": whole(4, 64),
                "classes": whole(1, 1000),
                "operations": never,
                "stem": whole(1, 65536),
            },
        ),
        Call(
            "random_architecture",
            n.random_architecture,
            {"graph": graph},
            {"graph": a(n.Graph), "seed": seed, "parameters": or_none(never)},
        ),
        Call(
            "save_net",
            lambda **k: n.save_net(**{"path": out().with_suffix(".safetensors"), **k}),
            {"net": net},
            {"net": never, "path": never, "example": or_none(a(torch.Tensor))},
        ),
        Call("load_net", n.load_net, {"path": "nothing.safetensors"}, {"path": never}),
        Call(
            "StochasticLayers",
            n.StochasticLayers,
            {"net": bn.nn.mlp([4, 3]), "rule": n.is_linear_or_convolution},
            {"net": a_net, "rule": callable_},
        ),
        # Distributions
        Call(
            "IndianBuffet",
            d.IndianBuffet,
            {"mass": 1.0, "concentration": 1.0, "customers": 3},
            {
                "mass": positive,
                "concentration": positive,
                "customers": whole(),
                "validate_args": validate,
            },
        ),
        Call(
            "BetaBernoulliBuffet",
            d.BetaBernoulliBuffet,
            {"mass": 1.0, "concentration": 1.0, "customers": 3, "dishes": 2},
            {
                "mass": positive,
                "concentration": positive,
                "customers": whole(),
                "dishes": whole(),
                "validate_args": validate,
            },
        ),
        Call(
            "StickBreakingBuffet",
            d.StickBreakingBuffet,
            {"mass": 1.0, "dishes": 3},
            {"mass": positive, "dishes": large, "validate_args": validate},
        ),
        Call(
            "CascadingIndianBuffet",
            d.CascadingIndianBuffet,
            {"mass": 1.0, "concentration": 1.0, "width": 3},
            {"mass": positive, "concentration": positive, "width": whole()},
        ),
        Call(
            "expected_dishes_taken_by",
            buffet.expected_dishes_taken_by,
            {"count": 2},
            {"count": whole(1, 3)},
        ),
        Call(
            "sample_widths",
            cascade.sample_widths,
            {"draws": 2},
            {"draws": small, "max_layers": whole()},
        ),
        Call(
            "expected_widths", cascade.expected_widths, {"layers": 2}, {"layers": whole(0, 100_000)}
        ),
        Call(
            "BinaryConcrete",
            d.BinaryConcrete,
            {"temperature": 0.5, "logits": logits},
            {"temperature": parameter(0.0), "logits": real_tensor, "validate_args": validate},
        ),
        Call(
            "ConcreteGate",
            d.ConcreteGate,
            {"temperature": 0.5, "logits": logits},
            {"temperature": parameter(0.0), "logits": real_tensor, "validate_args": validate},
        ),
        Call(
            "GumbelSoftmax",
            d.GumbelSoftmax,
            {"temperature": 0.5, "logits": logits},
            {"temperature": parameter(0.0), "logits": real_tensor, "validate_args": validate},
        ),
        Call(
            "HardConcrete",
            d.HardConcrete,
            {"temperature": 0.5, "logits": logits},
            {
                "temperature": parameter(0.0),
                "logits": real_tensor,
                "stretch": never,
                "validate_args": validate,
            },
        ),
        Call(
            "Horseshoe",
            d.Horseshoe,
            {"scale": 1.0},
            {"scale": parameter(0.0), "validate_args": validate},
        ),
        Call(
            "Kumaraswamy",
            d.Kumaraswamy,
            {"concentration1": 1.0, "concentration0": 2.0},
            {
                "concentration1": parameter(0.0),
                "concentration0": parameter(0.0),
                "validate_args": validate,
            },
        ),
        Call(
            "LogUniform",
            d.LogUniform,
            {"low": 0.1, "high": 10.0},
            {
                "low": lambda v: (
                    parameter(0.0)(v)
                    and bool((v < 10).all() if isinstance(v, torch.Tensor) else v < 10)
                ),
                "high": parameter(0.1),
                "validate_args": validate,
            },
        ),
        Call(
            "LogitNormal",
            d.LogitNormal,
            {"loc": logits, "scale": logits + 1},
            {
                "loc": parameter(),
                "scale": parameter(0.0),
                "domain": one_of("cube", "simplex"),
                "validate_args": validate,
            },
        ),
        Call(
            "SpikeAndSlab",
            d.SpikeAndSlab,
            {"probs": 0.5},
            {
                "probs": parameter(0.0, "["),
                "loc": parameter(),
                "scale": parameter(0.0),
                "validate_args": validate,
            },
        ),
        Call(
            "TruncatedLogNormal",
            d.TruncatedLogNormal,
            {"loc": 0.0, "scale": 1.0, "low": 0.1, "high": 10.0},
            {
                "loc": parameter(),
                "scale": parameter(0.0),
                "low": parameter(0.0),
                "high": parameter(0.1),
                "validate_args": validate,
            },
        ),
        Call(
            "GaussianWeights",
            d.GaussianWeights,
            {"loc": logits, "scale": logits + 1},
            {
                "loc": real_tensor,
                "scale": real_tensor,
                "shape": or_none(never),
                "keep": or_none(a(torch.Tensor)),
                "local": flag,
                "validate_args": validate,
            },
        ),
        Call(
            "NormalJeffreys",
            d.NormalJeffreys,
            {},
            {
                "batch_shape": items(whole(0), 0),
                "validate_args": validate,
                "like": or_none(real_tensor),
            },
        ),
        Call("constant_temperature", d.constant_temperature, {"value": 0.5}, {"value": positive}),
        Call(
            "linear_temperature",
            d.linear_temperature,
            {"start": 1.0, "end": 0.5, "steps": 10},
            {"start": positive, "end": positive, "steps": whole()},
        ),
        Call(
            "exponential_temperature",
            d.exponential_temperature,
            {"start": 1.0, "end": 0.5, "rate": 0.1},
            {"start": positive, "end": positive, "rate": non_negative},
        ),
        Call("left_ordered", d.left_ordered, {"matrix": torch.eye(3)}, {"matrix": a(torch.Tensor)}),
        # Models
        Call(
            "GaussianNet",
            m.GaussianNet,
            {"net": net},
            {
                **NET_OPTIONS,
                "net": never,
                "prior_scale": either(positive, one_of("learned"), items(positive, 2)),
                "stochastic": either(callable_, one_of("none")),
                "noise_scale": or_none(never),
            },
        ),
        Call(
            "GaussianNet gaussian",
            m.GaussianNet,
            {"net": net, "likelihood": "gaussian"},
            NET_OPTIONS,
        ),
        Call(
            "SpikeAndSlabNet",
            m.SpikeAndSlabNet,
            {"net": net},
            {
                **NET_OPTIONS,
                "net": never,
                "noise_scale": or_none(never),
                "gates": never,
                "inclusion": inside,
                "slab_scale": either(positive, one_of("learned")),
                "relaxation": one_of("hard-concrete", "binary-concrete"),
                "temperature": positive,
                "initial_inclusion": inside,
            },
        ),
        Call(
            "BayesianCompressionNet",
            m.BayesianCompressionNet,
            {"net": net},
            {
                **NET_OPTIONS,
                "net": never,
                "noise_scale": or_none(never),
                "prior": one_of("normal-jeffreys", "horseshoe", "truncated-log-uniform"),
                "global_scale": positive,
                "stochastic": callable_,
                "max_scale": or_none(either(positive, mapping)),
            },
        ),
        Call(
            "LatentStructureNet",
            m.LatentStructureNet,
            {"graph": graph},
            {
                **NET_OPTIONS,
                "graph": never,
                "noise_scale": or_none(never),
                "guide": never,
                "domain": or_none(never),
                "cost": or_none(one_of("parameters", "latency")),
                "cost_scale": positive,
                "temperature": either(positive, items(positive, 2)),
                "sample": one_of("batch", "example"),
                "gamma_floor": real(0, 1, closed="]"),
                "coupling": never,
                "weights": one_of("gaussian", "point"),
                "prior_scale": either(positive, one_of("learned"), items(positive, 2)),
            },
        ),
        Call(
            "ArdRegression",
            m.ArdRegression,
            {"in_features": 3},
            {
                "in_features": large,
                "noise_scale": or_none(positive),
                "hyperparameters": one_of("maximum", "posterior"),
                "intercept": flag,
            },
        ),
        Call(
            "SpikeAndSlabRegression",
            m.SpikeAndSlabRegression,
            {"in_features": 3},
            {
                "in_features": large,
                "inclusion": inside,
                "slab_scale": either(positive, one_of("learned")),
                "noise_scale": or_none(positive),
                "likelihood": one_of("gaussian", "bernoulli"),
                "guide": one_of("auto", "supports", "mean-field"),
                "intercept": flag,
            },
        ),
        Call(
            "ArdVae",
            m.ArdVae,
            {"shape": 6, "latents": 2, "hidden": (3,)},
            {
                "shape": either(whole(2), items(whole())),
                "latents": large,
                "network": one_of("mlp", "convolution"),
                "hidden": items(large, 0),
                "likelihood": one_of("bernoulli", "gaussian"),
                "noise_scale": or_none(never),
                "binarize": flag,
                "relevance_prior": or_none(never),
                "relevance_scale": positive,
                "relevance_guide": never,
                "decoder_prior": or_none(one_of("gaussian", "unit")),
                "threshold": positive,
            },
        ),
        Call(
            "IndianBuffetVae",
            m.IndianBuffetVae,
            {"shape": 6, "latents": 2, "hidden": (3,)},
            {
                "shape": either(whole(2), items(whole())),
                "latents": large,
                "mass": positive,
                "factors": flag,
                "guide_structure": never,
                "temperature": positive,
                "network": one_of("mlp", "convolution"),
                "hidden": items(large, 0),
                "likelihood": one_of("bernoulli", "gaussian"),
                "noise_scale": or_none(never),
                "binarize": flag,
            },
        ),
        Call(
            "LatentFeatures",
            m.LatentFeatures,
            {"in_features": 3},
            {
                "in_features": large,
                "latents": large,
                "mass": positive,
                "noise_scale": or_none(positive),
                "feature_scale": or_none(positive),
                "sweeps": whole(1, 2**80),
            },
        ),
        Call(
            "PyroPair",
            m.PyroPair,
            {"model_fn": lambda x, y=None: None, "guide_fn": lambda x, y=None: None},
            {"model_fn": callable_, "guide_fn": callable_, "elbo": or_none(never)},
        ),
        Call("zoo_class", m.zoo_class, {"name": "GaussianNet"}, {"name": never}),
        Call(
            "ArdVae.generate",
            vae.generate,
            {"n": 2},
            {"n": small, "fixed": or_none(mapping), "generator": or_none(a(torch.Generator))},
        ),
        Call(
            "ArdVae.traverse",
            vae.traverse,
            {"latent": 1, "values": [0.0, 1.0]},
            {
                "latent": whole(0, 2),
                "values": either(items(real(), 0), a(set, dict)),
                "x": or_none(never),
            },
        ),
        Call(
            "ArdVae.active",
            vae.active,
            {"x": images},
            {"x": never, "by": one_of("gamma", "variance", "sensitivity")},
        ),
        # Posteriors
        Call(
            "evaluate",
            post.evaluate,
            {"data": (x, y), "draws": 2},
            {"data": pair, "draws": whole(0, 10**6), "seed": seed},
        ),
        Call(
            "predict",
            post.predict,
            {"x": x, "draws": 2},
            {"x": never, "draws": small, "seed": seed},
        ),
        Call("sample", post.sample, {"draws": 2}, {"draws": small, "seed": seed}),
        Call(
            "complexity",
            post.complexity,
            {"draws": 2},
            {
                "data": or_none(pair),
                "draws": small,
                "per": one_of("none", "layer", "weight"),
                "scale_range": never,
            },
        ),
        Call(
            "evidence",
            post.evidence,
            {"data": (x, y), "method": "importance", "draws": 30},
            {
                "data": pair,
                "method": one_of("auto", "elbo", "importance", "laplace", "laplace-diagonal"),
                "draws": whole(30, 10**6),
                "seed": seed,
            },
        ),
        Call(
            "ranged.evidence",
            ranged.evidence,
            {"data": (x, y), "kl_weights": [1.0, 3.0, 10.0], "draws": 30},
            {
                "data": pair,
                "kl_weights": or_none(never),
                "draws": whole(30, 10**6),
                "seed": seed,
            },
        ),
        Call(
            "compare",
            bn.compare,
            {"posteriors": [post, post], "data": (x, y), "method": "elbo", "draws": 2},
            {
                "posteriors": never,
                "data": pair,
                "by": one_of("evidence", "loo"),
                "method": one_of("auto", "elbo", "importance", "laplace", "laplace-diagonal"),
                "draws": small,
                "seed": seed,
            },
        ),
        Call(
            "transition",
            criteria.transition,
            {"values": [[1.0, 1.0], [0.0, 2.0]], "divergences": [[0.0, 3.0], [4.0, 0.0]]},
            {
                "values": never,
                "divergences": never,
                "kept": or_none(never),
                "least_divergence": non_negative,
                "start": whole(0, 1),
            },
        ),
        Call(
            "post.pareto_k",
            post.pareto_k,
            {"data": (x, y), "draws": 40},
            {"data": pair, "draws": whole(30, 10**6), "kl_weight": or_none(positive), "seed": seed},
        ),
        Call(
            "prune",
            post.prune,
            {"fraction": 0.5},
            {
                "fraction": fraction,
                "threshold": or_none(never),
                "by": one_of("density", "magnitude", "random", "evidence"),
                "groups": flag,
                "biases": flag,
                "training": or_none(pair),
                "seed": seed,
            },
        ),
        Call(
            "prune a module",
            bn.prune,
            {"module": net, "data": (x, y), "fraction": 0.5, "device": "cpu", "progress": False},
            {
                "module": a_net,
                "data": pair,
                "by": one_of("magnitude", "obd", "fisher", "obs", "relevance", "random"),
                "fraction": fraction,
                "threshold": or_none(never),
                "groups": flag,
                "biases": flag,
                "rounds": whole(),
                "epochs": whole(0),
                "lr": positive,
                "batch_size": whole(1, 2**31),
                "l1": non_negative,
                "l2": non_negative,
                "likelihood": one_of("categorical", "bernoulli", "gaussian"),
                "noise_scale": or_none(never),
                "seed": seed,
                "device": device,
                "progress": flag,
            },
        ),
        Call(
            "quantise",
            bn.quantise,
            {"module": net, "data": (x, y), "epochs": 0, "device": "cpu"},
            {
                "module": a_net,
                "data": pair,
                "bits": whole(1, 8),
                "convolution_bits": whole(1, 8),
                "epochs": whole(0),
                "lr": positive,
                "batch_size": whole(1, 2**31),
                "likelihood": one_of("categorical", "bernoulli", "gaussian"),
                "noise_scale": or_none(never),
                "seed": seed,
                "device": device,
            },
        ),
        Call(
            "encode",
            lambda **k: bn.encode(**{"module": net, "path": out(), **k}),
            {},
            {"module": a_net, "path": a_path},
        ),
        Call("decode", bn.decode, {"path": folder / "net.bin"}, {"path": a_path}),
        Call(
            "prune by threshold",
            post.prune,
            {"threshold": 0.5},
            {
                "fraction": or_none(never),
                "threshold": fraction,
                "by": one_of("density", "magnitude", "evidence"),
            },
        ),
        Call(
            "prune groups",
            grouped.prune,
            {"threshold": 100.0, "by": "group"},
            {"threshold": real(), "by": one_of("density", "magnitude", "group")},
        ),
        Call(
            "pruning_curve",
            post.pruning_curve,
            {"data": (x, y), "fractions": [0.0, 0.5]},
            {"data": pair, "fractions": items(fraction), "by": never, "seed": seed},
        ),
        Call(
            "to_arviz",
            post.to_arviz,
            {"draws": 2},
            {"draws": small, "data": or_none(pair), "var_names": or_none(never), "seed": seed},
        ),
        Call("save", lambda **k: post.save(**{"path": out(), **k}), {}, {"path": a_path}),
        Call("chain", post.chain, {"index": 0}, {"index": whole(0, 0)}),
        Call("to", post.to, {"device": "cpu"}, {"device": device}),
        Call(
            "refine",
            post.refine,
            {"data": (x, y), "steps": 1, "progress": False, "compile": False},
            {
                "data": pair,
                "steps": small,
                "epochs": or_none(never),
                "objective": or_none(never),
                "optimizer": never,
                "progress": flag,
                "compile": fit["compile"],
                **{k: or_none(fit[k]) for k in refine},
                "kl_weight": or_none(non_negative),
            },
        ),
        Call("at", ranged.at, {"kl_weight": 1.0}, {"kl_weight": real(0.0999, 10.001)}),
        Call(
            "frontier",
            ranged.frontier,
            {"kl_weights": [1.0], "data": (x, y), "draws": 2},
            {
                "kl_weights": items(real(0.0999, 10.001)),
                "data": pair,
                "draws": whole(0, 10**6),
                "threshold": fraction,
                "seed": seed,
            },
        ),
        Call(
            "ranged.to_arviz",
            ranged.to_arviz,
            {"kl_weights": [1.0], "draws": 2},
            {
                "kl_weights": items(real(0.0999, 10.001)),
                "draws": small,
                "data": or_none(pair),
                "var_names": or_none(never),
                "seed": seed,
            },
        ),
        # Inference
        Call(
            "Bilevel",
            inf.Bilevel,
            {},
            {
                "hypergradient": one_of("greedy", "unrolled", "implicit"),
                "parameters": or_none(either(items(text, 0), a(set))),
                "kl_weight": or_none(non_negative),
                "likelihood_weight": non_negative,
                "optimizer": callable_,
                "lr": positive,
                "schedule": schedule,
                "batch_size": or_none(whole()),
                "start": real(0, 1, closed="["),
            },
        ),
        Call(
            "GeneralisedObjective",
            inf.GeneralisedObjective,
            {},
            {
                "kl_weight_lower": non_negative,
                "likelihood_weight": non_negative,
                "kl_weight_upper": non_negative,
                "structure_weights": lambda v: isinstance(v, (list, tuple)) and not v,
                "structure_priors": lambda v: isinstance(v, (list, tuple)) and not v,
                "hyperprior": a(dict),
                "upper": or_none(never),
            },
        ),
        Call(
            "Implicit",
            inf.Implicit,
            {},
            {
                "solver": one_of("cg", "neumann"),
                "steps": whole(),
                "damping": non_negative,
                "lr": or_none(positive),
            },
        ),
        Call("Unrolled", inf.Unrolled, {}, {"steps": whole(), "lr": or_none(positive)}),
        Call(
            "bound_terms",
            inf.bound_terms,
            {"model": post.model, "x": x, "y": y},
            {
                "model": a_model,
                "x": never,
                "y": never,
                "data_scale": positive,
                "differentiable": flag,
            },
        ),
        Call(
            "kl_weighted",
            inf.kl_weighted,
            {"fn": lambda: None, "kl_weight": 1.0},
            {"fn": callable_, "kl_weight": parameter(0.0, "["), "data_scale": positive},
        ),
        Call(
            "tempered_log_weights",
            bayesnas.export.tempered_log_weights,
            {
                "log_prior_total": np.zeros(3),
                "log_lik_total": np.zeros(3),
                "log_q_total": np.zeros(3),
                "kl_weight": 1.0,
            },
            {
                "log_prior_total": never,
                "log_lik_total": never,
                "log_q_total": never,
                "kl_weight": positive,
            },
        ),
        Call(
            "export.pareto_k",
            bayesnas.export.pareto_k,
            {"log_weights": np.linspace(0, 1, 40)},
            {"log_weights": never},
        ),
    ]
