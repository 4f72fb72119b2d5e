"""Fits over metaparameters, what is said of posteriors, learned optimisers, tables, estimators."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import torch
from fuzz_call import Call
from fuzz_kinds import (
    a,
    a_net,
    a_path,
    callable_,
    either,
    flag,
    inside,
    items,
    large,
    mapping,
    never,
    non_negative,
    one_of,
    or_none,
    positive,
    real,
    seed,
    small,
    text,
    whole,
)
from pyro.infer.autoguide import AutoDelta

import bayesnas as bn
from bayesnas import loggers, sklearn
from bayesnas.inference.learned.evaluation import loss_curves
from bayesnas.inference.learned.imitation import Imitation
from bayesnas.inference.learned.meta_levels.net import MetaLevelNet
from bayesnas.inference.learned.meta_levels.regressions import regressions, train_on_regressions
from bayesnas.inference.learned.rules import AdamRule, LstmRule, MomentumRule
from bayesnas.inference.learned.tasks.bounds import Bounds
from bayesnas.inference.learned.tasks.perceptrons import Perceptrons
from bayesnas.inference.learned.tasks.quadratics import Quadratics

COUNT = itertools.count()
below_one = real(0.0, 1.0, closed="[")
device = either(a(torch.device), one_of("cpu", "auto"))
method = one_of("auto", "elbo", "importance", "laplace", "laplace-diagonal")
class_weight = either(mapping, items(non_negative, 3), one_of("balanced"))
likelihood = one_of("categorical", "bernoulli", "gaussian")


def calls(folder) -> list[Call]:
    """All of them; ``folder`` is where they may write."""
    torch.manual_seed(0)
    x, y = torch.randn(12, 4), torch.arange(12) % 3
    pair = (x, y)
    net = bn.nn.mlp([4, 3])
    model = bn.models.GaussianNet(net, prior_scale="learned")
    quick = {"steps": 2, "batch_size": 8, "progress": False, "compile": False}
    post = bn.fit(model, pair, **quick)
    box = bn.fit(
        bn.models.GaussianNet(net),
        pair,
        kl_weight=bn.LogUniform(0.1, 10.0),
        metaparameters={"prior_scale": bn.LogUniform(0.1, 3.0)},
        **quick,
    )
    tasks = Quadratics(2)
    learned = bn.inference.LearnedOptimizer(MomentumRule())
    learned.save(folder / "rule.safetensors")
    rows = pd.DataFrame({"size": [1.0, None, 3.0], "colour": ["red", "blue", "red"]})
    encoding = bn.data.TableEncoding.fit(rows)
    table = np.linspace(0, 1, 24).reshape(12, 2)
    labels, targets = np.arange(12) % 2, np.linspace(-1, 1, 12)

    def program(y):
        mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
        with pyro.plate("row", len(y)):
            pyro.sample("y", dist.Normal(mean, 1.0), obs=y)

    guide = AutoDelta(program)

    def false(value):
        return isinstance(value, (bool, np.bool_)) and not value

    def new(suffix):
        return folder / f"new{next(COUNT)}{suffix}"

    def classifier(**given):
        return sklearn.BayesianStructureClassifier(
            **{"hidden": (), "steps": 1, "draws": 2, "device": "cpu", **given}
        ).fit(table, labels)

    def regressor(**given):
        return sklearn.BayesianStructureRegressor(
            **{"hidden": (), "steps": 1, "draws": 2, "device": "cpu", **given}
        ).fit(table, targets)

    estimator = {
        "model": never,
        "hidden": or_none(items(large, 0)),
        "activation": or_none(never),
        "model_options": or_none(mapping),
        "kl_weight": non_negative,
        "epochs": or_none(never),
        "steps": or_none(small),
        "batch_size": or_none(whole(1, 2**31)),
        "lr": or_none(positive),
        "restarts": whole(1, 2**33),
        "standardise": flag,
        "draws": small,
        "device": one_of("cpu", "auto"),
        "verbose": flag,
        "random_state": or_none(whole(0, 2**32 - 1)),
    }
    some = {"draws": small, "seed": seed}
    score = or_none(one_of("entropy", "mutual-information", "confidence"))
    endless = whole(1, 10**500)
    axis = lambda low, high: real(low * 0.999, high * 1.001)  # noqa: E731
    log = {"every": endless, "validation": or_none(a(tuple)), "validate_every": endless,
           "draws": whole(0, 10**6)}  # fmt: skip
    return [
        # Metaparameters
        Call("fit over a box",
             lambda **given: bn.fit(bn.models.GaussianNet(net), pair,
                                    kl_weight=bn.LogUniform(0.1, 10.0), **quick, **given),
             {"metaparameters": {"prior_scale": bn.LogUniform(0.1, 3.0)}},
             {"metaparameters": or_none(mapping)}),
        Call("box.at", box.at, {"kl_weight": 1.0, "prior_scale": 1.0},
             {"kl_weight": axis(0.1, 10), "prior_scale": axis(0.1, 3)}),
        Call("box.given", box.given, {"prior_scale": 1.0}, {"prior_scale": axis(0.1, 3)}),
        Call("box.choose", box.choose, {"data": pair, "points": 3, "draws": 2},
             {"data": never, "method": method, "points": small, "draws": small, "seed": seed}),
        Call("box.frontier", box.frontier,
             {"kl_weights": [1.0], "data": pair, "draws": 2, "prior_scale": [1.0]},
             {"kl_weights": items(axis(0.1, 10)), "prior_scale": items(axis(0.1, 3))}),
        Call("fit with weights",
             lambda **given: bn.fit(bn.models.GaussianNet(net), pair, **quick, **given),
             {"sample_weight": [1.0] * 12},
             {"sample_weight": or_none(items(positive, 12)),
              "class_weight": or_none(class_weight)}),
        # Posteriors
        Call("metrics", post.metrics, {"data": pair, "draws": 2},
             {"data": never, "level": inside, **some}),
        Call("uncertainty", post.uncertainty, {"x": x, "draws": 2},
             {"x": never, "score": score, **some}),
        Call("out_of_distribution", post.out_of_distribution,
             {"inside": x, "outside": x, "draws": 2},
             {"inside": never, "outside": never, "score": score, **some}),
        Call("interval",
             bn.fit(bn.models.GaussianNet(bn.nn.mlp([4, 1]), likelihood="gaussian"),
                    (x, x[:, 0]), **quick).interval,
             {"x": x, "draws": 2}, {"x": never, "level": inside, **some}),
        Call("SupermaskNet", bn.models.SupermaskNet, {"net": net},
             {"net": never, "weights": one_of("signed-constant", "drawn"),
              "selection": one_of("bernoulli", "edge-popup"), "inclusion": inside,
              "kept": real(0, 1, closed="]"), "rescale": flag, "stochastic": callable_,
              "initial_loc": one_of("random", "net"), "likelihood": likelihood,
              "noise_scale": or_none(never)}),
        Call("code", bn.code,
             {"posterior": post, "data": pair, "size": 400, "block_bits": 4, "epochs": 0,
              "coding_epochs": 0, "rounds": 1, "progress": False},
             {"posterior": never, "data": never, "size": whole(206, 2**40),
              "block_bits": whole(1, 20), "spare_bits": real(0, 4, closed="["),
              "epochs": whole(0), "coding_epochs": whole(0), "rounds": whole(), "lr": positive,
              "batch_size": whole(), "kl_weight": or_none(positive), "seed": seed,
              "device": device, "progress": flag}),
        Call("lottery_tickets", bn.lottery_tickets,
             {"module": net, "data": pair, "rounds": 1, "epochs": 1, "progress": False},
             {"module": a_net, "data": never, "rounds": whole(), "rate": inside,
              "output_rate": or_none(real(0, 1, closed="[")),
              "by": one_of("magnitude", "random", "magnitude-increase", "movement"),
              "epochs": whole(0), "rewind_epochs": whole(0), "lr": positive,
              "batch_size": whole(1, 2**31), "schedule": one_of("cosine", "constant"),
              "l2": non_negative, "likelihood": likelihood, "noise_scale": or_none(never),
              "seed": seed, "device": device, "progress": flag}),
        Call("smallest", bn.inference.smallest,
             {"post": post, "validation": pair},
             {"post": never, "validation": never, "kl_weights": or_none(never),
              "tolerance": non_negative}),
        # Learned optimisers
        Call("learn_optimizer", bn.inference.learn_optimizer,
             {"tasks": tasks, "rule": MomentumRule(), "steps": 2, "unroll": 1, "rounds": 1,
              "batch": 1, "validation": 1, "progress": False},
             {"tasks": never, "rule": or_none(never), "imitate": or_none(never),
              "steps": small, "unroll": whole(1, 2),
              "rounds": small, "batch": small, "lr": positive, "clip": positive,
              "second_derivatives": flag, "coordinates": or_none(whole()),
              "validation": whole(0, 10**6), "seed": seed, "progress": flag}),
        Call("Imitation", Imitation, {"optimizer": torch.optim.SGD, "lr": 0.1},
             {"optimizer": never, "lr": positive, "schedule": one_of("constant", "cosine"),
              "updates": whole(1), "rate": positive, "window": whole(1),
              "coordinates": whole(1, 2**31), "tasks": whole(1, 2**31)}),
        Call("LearnedOptimizer", bn.inference.LearnedOptimizer, {"rule": AdamRule()},
             {"rule": never, "training": or_none(a(dict))}),
        Call("LearnedOptimizer()", learned, {"parameters": [torch.nn.Parameter(torch.ones(2))]},
             {"parameters": never, "lr": or_none(positive)}),
        Call("LearnedOptimizer.save",
             lambda **given: learned.save(**{"path": new(".safetensors"), **given}),
             {}, {"path": never}),
        Call("LearnedOptimizer.load", learned.load, {"path": folder / "rule.safetensors"},
             {"path": never}),
        Call("loss_curves", loss_curves,
             {"optimizer": learned, "tasks": tasks, "steps": 1, "count": 1},
             {"optimizer": callable_, "tasks": never, "lr": or_none(positive), "steps": small,
              "count": small, "seed": seed}),
        Call("Quadratics", Quadratics, {}, {"dim": large, "dtype": a(torch.dtype)}),
        Call("Perceptrons", Perceptrons, {"data": bn.data.Split.of(pair)},
             {"data": never, "hidden": items(large, 0), "activation": never,
              "batch_size": whole(1, 2**31)}),
        Call("Bounds", Bounds, {"model": model, "data": pair, "batch_size": 4},
             {"model": never, "data": never, "kl_weight": non_negative,
              "batch_size": whole(1, 2**31)}),
        Call("LstmRule", LstmRule, {}, {"layers": small, "units": large, "scale": positive}),
        Call("MomentumRule", MomentumRule, {},
             {"rate": positive, "momentum": below_one, "learn_momentum": flag}),
        Call("AdamRule", AdamRule, {}, {"rate": positive}),
        Call("MetaLevelNet", MetaLevelNet, {"inputs": 1, "outputs": 1},
             {"inputs": large, "outputs": large, "hidden": large, "sharpness": positive,
              "step": positive, "modifies": flag}),
        Call("regressions", regressions, {"count": 2},
             {"count": large, "tasks": large, "examples": large, "seed": seed}),
        Call("train_on_regressions", train_on_regressions,
             {"net": MetaLevelNet(1, 1), "steps": 1, "batch": 1},
             {"net": never, "steps": small, "batch": large, "lr": positive, "tasks": large,
              "examples": large, "clip": positive, "seed": seed}),
        # Small things
        Call("glyph_images", bn.data.glyph_images, {"n": 2},
             {"n": small, "noise_scale": non_negative, "seed": seed}),
        Call("Split.first", bn.data.Split.of(pair).first, {"count": 2}, {"count": endless}),
        Call("NeuronGraph", bn.nn.NeuronGraph,
             {"inputs": 1, "outputs": 1, "activations": ["relu"], "connections": [(0, 2)]},
             {"inputs": whole(), "outputs": whole(), "activations": items(text, 0),
              "connections": items(never, 0)}),
        Call("SelectInputs", bn.nn.SelectInputs, {"indices": [0, 1]},
             {"indices": items(whole(0))}),
        # Tables, estimators, programs of Pyro, loggers
        Call("TableEncoding", bn.data.TableEncoding, {"columns": encoding.columns},
             {"columns": never}),
        Call("TableEncoding.fit", bn.data.TableEncoding.fit, {"frame": rows},
             {"frame": never, "kinds": or_none(never)}),
        Call("TableEncoding.apply", encoding.apply, {"frame": rows}, {"frame": never}),
        Call("TableEncoding.from_dict", bn.data.TableEncoding.from_dict,
             {"values": encoding.to_dict()}, {"values": never}),
        Call("Classifier", classifier, {},
             {**estimator, "class_weight": or_none(class_weight)}),
        Call("Regressor", regressor, {}, estimator),
        Call("from_pyro_svi", bn.from_pyro_svi,
             {"model": program, "guide": guide, "model_args": (torch.ones(3),), "num_samples": 2},
             {"model": callable_, "guide": callable_, "model_args": a(list, tuple),
              "model_kwargs": or_none(mapping), "num_samples": small,
              "num_prior_samples": whole(0, 10**6), "log_likelihood": flag,
              "posterior_predictive": flag, "discrete": false, "constant_data": or_none(a(dict)),
              "coords": or_none(a(dict)), "dims": or_none(mapping),
              "sample_dims": lambda v: v in (["a"],) if isinstance(v, list) else False,
              "seed": or_none(seed)}),
        Call("CSVLogger", lambda **given: loggers.CSVLogger(**{"path": new(".csv"), **given}), {},
             {"path": a_path, "append": flag, **log}),
        Call("TensorBoardLogger",
             lambda **given: loggers.TensorBoardLogger(**{"path": new("logs"), **given}), {},
             {"path": a_path, **log}),
        Call("logger_of", lambda **given: loggers.logger_of(**{"word": f"csv:{new('c')}", **given}),
             {}, {"word": never, "append": flag, **log}),
        Call("load without columns", bn.data.load, {"name_or_path": "digits"},
             {"drop": or_none(items(never, 0))}),
    ]  # fmt: skip
