"""Searches by trials, in shared weights and by growth: good arguments and what is good for them."""

from __future__ import annotations

import numpy as np
import torch
from fuzz_call import Call
from fuzz_kinds import (
    a,
    a_path,
    callable_,
    either,
    flag,
    fraction,
    items,
    large,
    never,
    non_negative,
    one_of,
    or_none,
    positive,
    real,
    scalar,
    seed,
    small,
    text,
    whole,
)
from torch import nn

import bayesnas as bn
from bayesnas.inference import search as s
from bayesnas.inference.search.strategies.ant_colony import AntColony
from bayesnas.inference.search.strategies.budgeted import Budgeted
from bayesnas.inference.search.strategies.genetic import Genetic
from bayesnas.inference.search.strategies.regularised_evolution import RegularisedEvolution
from bayesnas.inference.search.strategies.reinforce import Reinforce
from bayesnas.inference.search.strategies.shared_weights.budgeted_supernet import budgeted_supernet
from bayesnas.inference.search.strategies.shared_weights.enas import enas
from bayesnas.inference.search.strategies.shared_weights.multi_path import multi_path
from bayesnas.inference.search.strategies.shared_weights.path_net import PathNet

SAMPLERS = ("random", "grid", "tpe", "nsga2", "cmaes")
below_one = real(0.0, 1.0, closed="[")
above_zero = real(0.0, 1.0, closed="]")
device = one_of("cpu", "auto")
rows = lambda value: isinstance(value, (list, tuple)) and len(value) == 2  # noqa: E731


def is_value(value):
    number = scalar(value)
    return value is None or isinstance(value, (str, bool)) or (number is not None and real()(value))


def values(value):
    """Different entries of candidates."""
    right = isinstance(value, (list, tuple)) and value and all(map(is_value, value))
    return bool(right) and len({*value}) == len(value)


def name(value):
    return isinstance(value, str) and bool(value)


def names(value):
    return isinstance(value, (list, tuple)) and len(value) == 1 and name(value[0])


def calls(folder) -> list[Call]:
    """All of them; ``folder`` is where they may write."""
    torch.manual_seed(0)
    space = s.SearchSpace({"depth": s.Integer(1, 2), "skip": s.Categorical((True, False))})
    x, y = torch.randn(12, 4), torch.arange(12) % 3
    pair, numbers = (x, y), (x, x[:, 0])
    edges = {("x", "y"): [nn.Linear(4, 3), nn.Linear(4, 3, bias=False)]}
    graph = bn.nn.Graph(edges, example=x[:2])
    supernet = s.Supernet(graph)
    net = bn.models.GaussianNet(bn.nn.mlp([4, 3]))
    result = s.search(space, lambda c: c["depth"], "grid")
    ranged = bn.fit(
        net, pair, kl_weight=bn.LogUniform(0.1, 10.0), steps=1, compile=False, progress=False
    )
    agnostic = s.weight_agnostic(
        pair, generations=1, population=4, tournament=2, weights=(-1.0, 1.0), progress=False
    )
    shared = {
        "graph": never,
        "data": never,
        "validation": never,
        "epochs": small,
        "batch_size": whole(1, 2**31),
        "lr": positive,
        "weight_decay": non_negative,
        "warm_up": whole(0, 10**6),
        "baseline_decay": below_one,
        "entropy_weight": non_negative,
        "loss": one_of("error", "nll"),
        "derive": small,
        "seed": seed,
        "device": device,
        "progress": flag,
    }
    quick = {"epochs": 1, "derive": 1, "progress": False}
    option = {"space": space}
    return [
        Call("Categorical", s.Categorical, {"choices": (1, 2)},
             {"choices": values, "when": or_none(never)}),
        Call("Integer", s.Integer, {"low": 1, "high": 3},
             {"low": whole(-(2**53), 3), "high": whole(1, 2**53), "when": or_none(never)}),
        Call("Real", s.Real, {"low": 0.0, "high": 1.0},
             {"low": real(-1e308, 1), "high": real(0, 1e308)}),
        Call("LogReal", s.LogReal, {"low": 0.1, "high": 1.0},
             {"low": real(0, 1), "high": real(0.1)}),
        Call("When", s.When, {"name": "depth", "values": (1,)},
             {"name": name,
              "values": lambda v: isinstance(v, (list, tuple)) and v and all(map(is_value, v))}),
        Call("SearchSpace", s.SearchSpace, {"variables": {"depth": s.Integer(1, 2)}},
             {"variables": never}),
        Call("SearchSpace.checked", space.checked, {"candidate": {"depth": 1, "skip": True}},
             {"candidate": never}),
        Call("SearchSpace.sample", space.sample, {"generator": np.random.default_rng(0)},
             {"generator": never}),
        Call("SearchSpace.is_active", space.is_active, {"name": "skip", "candidate": {"depth": 1}},
             {"name": one_of("depth", "skip")}),
        Call("SearchSpace.of_graph", s.SearchSpace.of_graph, {"graph": graph}, {"graph": never}),
        Call("architecture", s.architecture, {"graph": graph, "candidate": {"x->y": "0"}},
             {"graph": never, "candidate": never}),
        Call("search", s.search,
             {"space": space, "objective": lambda c: c["depth"], "strategy": "grid", "trials": 2},
             {"space": never,
              "objective": callable_,
              "strategy": either(callable_, one_of(*SAMPLERS, *s.STRATEGIES)),
              "trials": or_none(small),
              "objectives": either(name, names),
              "storage": or_none(never),
              "name": name,
              "workers": whole(1, 1),
              "seed": seed,
              "resume": flag,
              "progress": flag}),
        Call("SearchResult.hypervolume", result.hypervolume, {}, {"reference": or_none(never)}),
        Call("SearchResult.plot", result.plot, {},
             {"kind": one_of("history", "importance", "parallel")}),
        Call("Table", s.Table,
             {"space": space, "columns": {"error": np.arange(4.0)}, "about": {}},
             {"space": never, "columns": lambda v: isinstance(v, dict) and v == {},
              "about": a(dict)}),
        Call("Table.best", s.Table(space, {"error": np.arange(4.0)}, {}).best,
             {"objective": "error"}, {"objective": one_of("error")}),
        Call("ClippedSGD", s.ClippedSGD, {"params": [nn.Parameter(x)], "lr": 0.1},
             {"lr": positive, "clip_norm": positive}),
        Call("FitJudge", s.FitJudge,
             {"make": lambda c: net, "train": pair, "judged": pair},
             {"make": callable_, "train": rows, "judged": rows,
              "settings": items(text, 0), "options": a(dict),
              "folder": or_none(a_path), "draws": whole(0, 10**6)}),
        Call("AmortizedJudge", s.AmortizedJudge,
             {"post": ranged, "train": pair, "judged": pair},
             {"post": never, "train": rows, "judged": rows, "name": name,
              "draws": whole(0, 10**6)}),
        Call("Supernet", s.Supernet, {"graph": graph}, {"graph": never}),
        Call("Supernet.fit", supernet.fit, {"x": x, "y": y, "steps": 1},
             {"x": never, "y": never, "steps": small, "batch_size": whole(1, 2**31),
              "lr": positive, "seed": seed, "progress": flag}),
        Call("Supernet.save", supernet.save, {"path": folder / "shared"}, {"path": a_path}),
        Call("Supernet.parameters_of", supernet.parameters_of, {"candidate": {"x->y": "0"}},
             {"candidate": never}),
        Call("SupernetJudge", s.SupernetJudge, {"supernet": supernet, "x": x, "y": y},
             {"supernet": never, "x": never, "y": never}),
        # Strategies
        Call("Genetic", Genetic, option,
             {"space": never, "seed": seed, "population": whole(2, 2**31),
              "selection": one_of("tournament", "proportional"), "tournament": whole(1, 2**31),
              "floor": non_negative, "crossover": fraction, "mutation": or_none(fraction),
              "elite": whole(0, 19), "distinct": flag}),
        Call("Budgeted", Budgeted, option,
             {"space": never, "seed": seed, "budget": or_none(positive),
              "cost_weight": non_negative, "batch": large, "lr": positive,
              "baseline_decay": below_one, "entropy_weight": non_negative,
              "shaping": one_of("none", "rank", "log-rank")}),
        Call("AntColony", AntColony, option,
             {"space": never, "seed": seed, "ants": whole(1, 2**31), "greediness": fraction,
              "pheromone": positive, "decay": fraction, "evaporation": fraction,
              "pheromone_power": non_negative, "heuristic_power": non_negative,
              "heuristic": or_none(lambda v: isinstance(v, dict) and v == {}),
              "layers": or_none(items(never, 0)), "rest": or_none(lambda v: v == {})}),
        Call("Reinforce", Reinforce, option,
             {"space": never, "seed": seed, "batch": large, "lr": positive, "hidden": small,
              "baseline_decay": below_one, "entropy_weight": non_negative,
              "shaping": one_of("none", "rank", "log-rank")}),
        Call("RegularisedEvolution", RegularisedEvolution, option,
             {"space": never, "seed": seed, "population": large, "tournament": large}),
        # Shared weights
        Call("enas", enas,
             {"graph": graph, "data": pair, "validation": pair, "controller_steps": 1, **quick},
             {**shared, "controller_steps": small, "controller_batch": small,
              "controller_lr": positive, "hidden": small, "temperature": positive,
              "tanh_constant": or_none(positive)}),
        Call("budgeted_supernet", budgeted_supernet,
             {"graph": graph, "data": pair, "validation": pair, "budget": 15.0,
              "policy_steps": 1, **quick},
             {**shared, "budget": positive, "cost": one_of("parameters", "multiply-adds"),
              "cost_weight": non_negative, "policy_steps": small, "policy_batch": small,
              "policy_lr": positive}),
        Call("multi_path", multi_path,
             {"graph": graph, "domains": {"one": (pair, pair)}, "heads": {"one": nn.Linear(3, 3)},
              **quick},
             {"graph": never, "domains": never, "heads": never, "controller_lr": positive,
              "hidden": small,
              **{key: good for key, good in shared.items()
                 if key in ("epochs", "batch_size", "lr", "baseline_decay", "entropy_weight",
                            "derive", "seed", "progress")}}),
        Call("PathNet", PathNet, {"graph": graph},
             {"graph": never, "active": small, "population": whole(2, 10**6), "seed": seed}),
        Call("PathNet.learn",
             lambda **given: PathNet(graph, population=2).learn(**given),
             {"task": "one", "data": pair, "head": nn.Linear(3, 3), "tournaments": 1, "steps": 1},
             {"task": name, "data": never, "head": never, "tournaments": small, "steps": small,
              "batch_size": whole(1, 2**31), "lr": positive, "progress": flag}),
        # Growth
        Call("weight_agnostic", s.weight_agnostic,
             {"data": pair, "generations": 1, "population": 4, "tournament": 2,
              "weights": (-1.0, 1.0), "progress": False},
             {"data": never, "validation": or_none(never), "generations": small,
              "weights": items(real()), "population": whole(2, 10**5), "tournament": whole(1, 4),
              "elite": fraction, "culled": below_one, "connected": fraction, "by_size": fraction,
              "changes": items(non_negative, 3), "seed": seed, "out": or_none(a_path),
              "checkpoint_every": whole(1, 10**500), "resume": flag, "progress": flag}),
        Call("WeightAgnostic.module", agnostic.module, {}, {"weight": or_none(real())}),
        Call("WeightAgnostic.posterior", agnostic.posterior, {"data": pair},
             {"data": never, "prior": or_none(never)}),
        Call("WeightAgnostic.trained", agnostic.trained, {"data": pair, "epochs": 1},
             {"data": never, "epochs": small, "lr": positive, "batch_size": whole(1, 2**31),
              "seed": seed}),
        Call("adanet", s.adanet,
             {"data": pair, "width": 2, "most_rounds": 1, "epochs": 1, "progress": False},
             {"data": never, "validation": or_none(never), "width": whole(1, 10**5),
              "complexity_weight": non_negative, "weight_penalty": non_negative,
              "complexity": callable_, "most_rounds": small, "least_gain": non_negative,
              "epochs": small, "lr": positive, "batch_size": whole(1, 2**31), "seed": seed,
              "progress": flag}),
        Call("add_del", s.add_del,
             {"elements": s.LinearFeatures(numbers, numbers), "progress": False},
             {"elements": never, "add_rise": non_negative, "delete_rise": non_negative,
              "most_iterations": whole(), "progress": flag}),
        Call("LinearFeatures", s.LinearFeatures, {"data": numbers, "validation": numbers},
             {"data": never, "validation": never}),
        Call("HiddenNeurons", s.HiddenNeurons, {"data": pair, "validation": pair},
             {"data": never, "validation": never, "candidates": small, "steps": small,
              "lr": positive, "l2": non_negative, "seed": seed}),
    ]  # fmt: skip
