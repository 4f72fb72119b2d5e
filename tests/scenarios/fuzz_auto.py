"""Calls of every public callable, made from its signature, its annotations and values by name.

What the tables beside this file say by hand is left to them: they know ranges and what belongs
together. Here an argument is wrong where its annotation or its name says so.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from fuzz_call import Call, Fresh
from fuzz_hints import anything, good_of, hint_of
from fuzz_objects import QUICK, Objects
from fuzz_surface import Entry, bare, surface

import bayesnas as bn
from bayesnas import data, likelihoods, report, reproductions
from bayesnas import models as m
from bayesnas.inference import criteria, mcmc
from bayesnas.inference import search as s
from bayesnas.inference.bilevel.hypergradients import Hypergradient
from bayesnas.nn.hypernetworks.parameter_map import ParameterMap
from bayesnas.plots.structure.latents import TRAVERSED

# What functions return and a fit makes: nobody calls their constructors.
RECORDS = {
    bn.Posterior, bn.inference.AmortizedPosterior, bn.inference.Posteriors,
    bn.inference.BoundTerms, bn.inference.Coded, bn.inference.Compressed, bn.inference.Evidence,
    bn.inference.LotteryTickets, bn.inference.Pruned, bn.inference.StepEvent,
    bn.inference.Ticket, bn.inference.NonFiniteLossError, bn.inference.ProcessLostError,
    criteria.CrossValidated, criteria.InformationCriteria, criteria.SimulatedCalibration,
    criteria.Transition,
    data.StreamedSplit, data.UnseenCellWarning, mcmc.BeliefPosterior, mcmc.LatentFeatureDraws,
    mcmc.LatentFeatureState, m.ModelRecord, report.Findings, report.Page, report.Remark,
    reproductions.Comparison, reproductions.Reproduced, s.AdaNet, s.AddDel,
    s.InterruptedSearchWarning, s.SearchResult, s.SearchTrial, s.StorageError,
    s.StrategyRecord, s.WeightAgnostic,
}  # fmt: skip
# What the library calls of its own classes, of those of users and of Pyro's: a hook is called with
# what the library has checked. It must not hang, and that is all that is asked of it.
CONTRACTS: tuple[type, ...] = (
    m.BayesianModel, likelihoods.Likelihood, likelihoods.LikelihoodContract, s.Elements,
    s.Strategy, s.StrategyFactory, Hypergradient, ParameterMap, torch.nn.Module,
    torch.distributions.Distribution, torch.optim.Optimizer,
)  # fmt: skip
INNER = {
    *(f"models.{name}" for name in (
        "ArdRegression.evidence_of_supports", "ArdRegression.expected_likelihood",
        "ArdRegression.observe", "ArdRegression.predictor", "ArdRegression.response",
        "ArdVae.decode", "ArdVae.examples", "ArdVae.latent_posterior", "ArdVae.mean_of_latents",
        "ArdVae.prior_latents", "BayesianCompressionNet.remove_unread",
        "BeliefNetwork.sample_layer", "BeliefNetwork.log_structure",
        "IndianBuffetVae.decode", "IndianBuffetVae.factor_posterior",
        "IndianBuffetVae.gate_logits", "IndianBuffetVae.mean_of_latents",
        "IndianBuffetVae.prior_latents", "LatentFeatures.assignment_logits",
        "LatentFeatures.observation", "LatentStructureNet.posterior_given",
        "LatentStructureNet.prior_given", "LatentStructureNet.structure_posterior",
        "LatentStructureNet.structure_prior", "PyroPair.parameter_value",
        "SpikeAndSlabNet.create_slab_scale", "SpikeAndSlabNet.gate_posterior",
        "SpikeAndSlabNet.gate_prior", "SupermaskNet.inclusion_of", "SupermaskNet.mask_posterior",
    )),
    "Posterior.restore", "GeneralisedObjective.hyper_terms", "GeneralisedObjective.upper_level",
    "Bilevel.config", "data.StreamedSplit.batches", "data.StreamedSplit.formed",
    "data.Split.parts", "data.StreamedSplit.parts", "data.StreamedSplit.read", "data.Inputs.like",
    "likelihoods.Bernoulli.observed",
    "nn.StochasticLayers.filled", "nn.StochasticLayers.without_padding",
    "loggers.MLflowLogger", "loggers.MLflowLogger.log",
    # Their constructors are Pyro's.
    "distributions.StraightThroughBernoulli", "distributions.StraightThroughOneHot",
}  # fmt: skip


def is_hook(entry: Entry) -> bool:
    """Whether nobody but the library calls it."""
    if entry.name.removeprefix("bayesnas.") in INNER:
        return True
    if entry.owner is None:
        return isinstance(entry.function, type) and entry.function in CONTRACTS
    if entry.owner in CONTRACTS:
        return True
    return any(
        issubclass(entry.owner, contract) and entry.method in dir(contract)
        for contract in CONTRACTS
        if not getattr(contract, "_is_protocol", False)
    ) or (entry.owner in (s.HiddenNeurons, s.LinearFeatures) and entry.method in dir(s.Elements))


COUNT = itertools.count()


def by_name(o: Objects) -> dict[str, Any]:
    """A value that works under the name of an argument, wherever it stands."""
    candidate = {"depth": 1, "skip": True}
    frontier = xr.Dataset({"accuracy": ("kl_weight", [0.9, 0.8])}, {"kl_weight": [0.1, 1.0]})
    rng = np.random.default_rng(0)
    numbers = {
        "chain": 0, "classes": 3, "count": 2, "customers": 3, "dishes": 2, "draws": 2,
        "examples": 12, "in_features": 4, "inputs": 4, "index": 0, "kl_weight": 1.0, "layer": 1,
        "layers": 2, "level": 0.9, "n": 2, "outputs": 3, "progress": 0.5, "rows": 12, "seed": 0,
        "size": 4, "step": 1, "steps": 2, "threshold": 1.0, "units": 2, "vertex": 0,
        "noise_scale": 1.0, "feature_scale": 1.0, "mass": 1.0, "scale": 1.0, "visible": 3,
    }  # fmt: skip
    return {
        **numbers, "x": o.x, "y": o.y, "X": o.table, "data": o.pair, "validation": o.pair,
        "train": o.pair, "test": o.pair, "judged": o.pair, "net": o.net, "module": o.net,
        "model": o.of(m.GaussianNet), "graph": o.graph, "space": o.space, "device": "cpu",
        "kl_weights": [1.0], "candidate": candidate, "generator": rng, "rng": rng,
        "sample_shape": (), "batch_shape": (3,), "value": torch.full((3,), 0.5), "frame": o.frame,
        "frontier": frontier, "name": "0",
        "network": o.network, "function": lambda *tensors: tensors[0], "choice": {("h", "y"): "0"},
        "values": {"loss": 1.0}, "variable": "accuracy", "text": "a", "site": "layer1.weight",
    }  # fmt: skip


def special(o: Objects) -> dict[str, dict[str, Any]]:
    """Values for the arguments of one callable, where those of their names don't do."""
    buffet = torch.ones(3, 2)
    sizes = {
        name: ("latent", np.array([1.0, 0.0])) for name in ("gamma", "variance", "sensitivity")
    }
    measures, frames = xr.Dataset(sizes), np.zeros((1, len(TRAVERSED), 4, 4))
    terms = ("loss", "expected_log_lik", "kl")
    history = xr.Dataset({name: (("chain", "step"), np.ones((1, 50))) for name in terms})
    quick = {key: QUICK[key] for key in ("steps", "batch_size", "progress")}
    info = o.split.info
    draws = {
        "posterior": {"a": np.zeros((1, 4))}, "dims": {}, "log_prior": {"a": np.zeros((1, 4))},
        "log_q": np.zeros((1, 4)), "kl_weight": 1.0,
    }  # fmt: skip
    post, path = bn.Posterior, o.folder
    pixels, logits = {"x": torch.rand(12, 4)}, {"logits": torch.zeros(3)}

    def new(suffix: str = "") -> dict[str, Any]:
        return {"path": Fresh(lambda: path / f"new{next(COUNT)}{suffix}")}

    return {
        "data.DataInfo": {
            "name": "d", "part": "train", "task": "classification", "n": 3, "classes": 3},
        "data.DataInfo.from_dict": {"values": info.to_dict()},
        "data.DataSet": {"name": "d", "train": o.split},
        "data.DataSource": {"name_or_path": "digits"},
        "data.DataSource.from_dict": {"values": {"name_or_path": "digits"}},
        "data.Inputs": {"tensors": [o.x]},
        "data.Split": {"x": o.x, "y": o.y, "info": info},
        "data.Split.rows": {"index": torch.tensor([0, 1])},
        "data.Standardisation.fit": {"x": o.x, "y": o.x[:, 0]},
        "data.Standardisation.apply_y": {"y": o.x[:, 0]},
        "data.Standardisation.invert_y": {"y": o.x[:, 0]},
        "data.Standardisation.from_dict": {"values": o.of(data.Standardisation).to_dict()},
        "data.load_streamed": {"path": path / "rows"},
        "data.read_rows": {"rows": path / "new.npy", "like": info},
        "distributions.BetaBernoulliBuffet.log_prob_of_class": {"value": buffet},
        "distributions.GaussianWeights.divergence": {
            "other": bn.distributions.GaussianWeights(torch.zeros(3), torch.ones(3))},
        "distributions.GaussianWeights.divergences": {
            "other": bn.distributions.GaussianWeights(torch.zeros(3), torch.ones(3))},
        "distributions.GroupScales": {"base": torch.distributions.LogNormal(torch.zeros(3), 1.0)},
        "distributions.LayeredGraph": {"connections": (torch.ones(3, 2),), "visible": 3},
        "distributions.CascadingIndianBuffet.log_prob": {
            "graph": bn.distributions.LayeredGraph((torch.ones(3, 2),), 3)},
        "export.along_kl_weight": {"trees": [o.of(post).to_arviz(2)]},
        "export.at_kl_weight": {
            "tree": bn.export.along_kl_weight([o.of(post).to_arviz(2)]), "kl_weight": 1.0},
        "export.tempered_loo": {"tree": o.of(post).to_arviz(4, o.pair)},
        "export.elpd_data": {"tree": o.of(post).to_arviz(40, o.pair)},
        "export.to_inference_data": {"tree": o.of(post).to_arviz(2)},
        "export.to_datatree": draws,
        "Posterior.export": new(".nc"),
        "Posterior.moments": {"x": o.x, "draws": 2},
        "Posterior.pareto_k_of_predictions": {"x": o.x, "data": o.pair, "draws": 30},
        "Posterior.retrain": {"data": o.pair, **QUICK},
        "Posterior.save": new(), "encode": {"module": o.net, **new()},
        "inference.Coded.encode": new(), "inference.Compressed.encode": new(),
        "inference.Pruned.encode": new(), "inference.LearnedOptimizer.save": new(),
        "loggers.TensorBoardLogger": new(), "distributions.StraightThroughBernoulli": logits,
        "distributions.StraightThroughOneHot": logits,
        "inference.AmortizedPosterior.architecture": {"kl_weight": 1.0},
        "inference.AmortizedPosterior.retrain": {"kl_weight": 1.0, "data": o.pair, **QUICK},
        "inference.Ticket.control": {"data": o.pair, "kind": "random", "device": "cpu"},
        "inference.choose_kl_weight": {
            "posts": o.of(bn.inference.AmortizedPosterior), "validation": o.pair, "draws": 1},
        "inference.hypergradient": {
            "model": o.of(m.GaussianNet), "data": o.pair, "validation": o.pair,
            "parameters": ["variational.layer1"]},
        "inference.criteria.cross_validate": {
            "model": o.of(m.GaussianNet), "data": o.pair, "folds": 2, "draws": 2, **quick},
        "vsbc": {
            "model": o.of(m.GaussianNet), "data": o.pair, "simulations": 10, "draws": 2, **quick},
        "inference.criteria.information_criteria": {"post": o.likeliest, "data": o.pair},
        "inference.criteria.keeps_optimum": {
            "loss": lambda theta, h: theta.square().sum(), "theta": torch.ones(1),
            "metaparameters": [0.0]},
        "inference.criteria.requirements": {
            "post": o.of(bn.inference.AmortizedPosterior),
            "kl_weights": [0.1, 0.3, 1.0, 3.0, 9.0], "data": o.pair, "draws": 2},
        "inference.criteria.structure_divergence": {
            "q": o.of(m.LatentStructureNet).structure(),
            "p": o.of(m.LatentStructureNet).structure()},
        "inference.mcmc.BeliefNetworkSampler": {"model": o.of(m.BeliefNetwork)},
        "inference.mcmc.sample_belief_network": {
            "model": o.of(m.BeliefNetwork), "x": np.full((4, 3), 0.5), "draws": 1, "warmup": 1,
            "chains": 1, "progress": False},
        "inference.mcmc.sample_latent_features": {
            "x": o.table, "draws": 1, "warmup": 1, "chains": 1},
        "inference.mcmc.LatentFeatureSampler": {"x": o.table},
        "inference.mcmc.LatentFeatureSampler.features": {
            "state": o.of(mcmc.LatentFeatureSampler).start()},
        "inference.mcmc.LatentFeatureSampler.log_joint": {
            "state": o.of(mcmc.LatentFeatureSampler).start()},
        "inference.mcmc.LatentFeatureSampler.sweep": {
            "state": o.of(mcmc.LatentFeatureSampler).start()},
        "inference.mcmc.mcmc_tree": {"posterior": {"a": np.zeros((1, 4))}, "dims": {}},
        "inference.search.AdaNet.load": {"folder": path / "adanet"},
        "inference.search.AdaNet.save": {"folder": new()["path"]},
        "inference.search.Categorical.checked": {"name": "a", "value": 1},
        "inference.search.Integer.checked": {"name": "a", "value": 1},
        "inference.search.LogReal.checked": {"name": "a", "value": 0.5},
        "inference.search.SearchSpace.from_dict": {"spec": o.space.to_dict()},
        "inference.search.Supernet.load": {"path": path / "supernet"},
        "inference.search.Supernet.measure": {"candidate": {"h->y": "0"}},
        "inference.search.Supernet.multiply_adds_of": {"candidate": {"h->y": "0"}},
        "inference.search.Table.load": {"path": path / "table.npz"},
        "inference.search.Table.save": new(".npz"),
        "inference.search.WeightAgnostic.load": {"path": path / "agnostic"},
        "inference.search.WeightAgnostic.save": new(),
        "inference.search.WeightAgnostic.table": {
            "train": o.pair, "test": o.pair, "epochs": 1},
        "inference.search.When.holds": {"candidate": {"a": 1}},
        "inference.search.darts": {
            "graph": o.graph, "data": o.pair, "validation": o.pair, **QUICK},
        "inference.search.darts_cc": {
            "graph": o.graph, "data": o.pair, "validation": o.pair, **QUICK},
        "inference.search.gumbel_darts": {
            "graph": o.graph, "data": o.pair, "validation": o.pair, **QUICK},
        "likelihoods.make_likelihood": {"likelihood": "categorical"},
        "loggers.logger_of": {
            "word": Fresh(lambda: f"csv:{path / f'log{next(COUNT)}.csv'}")},
        "loggers.CSVLogger": new(".csv"),
        "models.ArdVae.decode_latents": {"z": torch.zeros(2, 3)},
        **{f"models.ArdVae.{name}": pixels for name in (
            "determined", "encode", "measures", "reconstruct")},
        **{f"models.IndianBuffetVae.{name}": pixels for name in ("activity", "bound", "encode")},
        "models.BayesianCompressionNet.group_sweep": {"x": o.x, "y": o.y},
        "models.BayesianCompressionNet.scale_posterior": {"name": "layer1", "variable": "z"},
        "models.SpikeAndSlabNet.posterior": {"gates": {}},
        "models.SpikeAndSlabNet.prior": {"gates": {}},
        "models.BeliefNetwork.sample_given": {
            "graph": bn.distributions.LayeredGraph((torch.ones(3, 2),), 3), "n": 2},
        "models.knee": {"sweep": _sweep()},
        "models.register": {"name": "mine", "cls": m.GaussianNet},
        "nn.latencies": {"nets": {"net": o.net}, "x": o.x, "repeats": 1, "warm_up": 0},
        "nn.Graph.from_dict": {"spec": o.graph.to_dict()},
        "nn.Graph.incoming": {"vertex": "y"},
        "nn.Graph.primitive": {"edge": ("h", "y"), "name": "0"},
        "nn.GaussianTensor": {"loc": torch.zeros(3), "scale": torch.ones(3)},
        "nn.NeuronGraph.from_dict": {"content": o.neurons.to_dict()},
        "nn.NeuronGraph.reaches": {"start": 0, "end": 8},
        "nn.NeuronNet": {
            "inputs": 1, "outputs": 1, "activations": ["relu"], "connections": [(0, 3)]},
        "nn.NeuronNet.of": {"graph": o.neurons},
        "nn.CurvatureMap.check_names": {"names": ["kl_weight"]},
        "nn.CurvatureMap.of": {"name": "kl_weight"},
        "nn.SubnetworkSum": {"inputs": 4, "outputs": 3, "widths": [[2]]},
        "nn.VariationalParameters": {"initial": {"a": torch.zeros(3)}},
        "nn.VariationalParameters.assign": {"name": "a"},
        "nn.has_weights": {"name": "0"},
        "nn.is_linear_or_convolution": {"name": "0"},
        "nn.register_module": {"cls": _Mine},
        "nn.save_net": {"net": o.net, **new(".safetensors")},
        "plots.latents_figure": {"measures": measures, "latents": [0], "frames": frames},
        "plots.plot_calibration": {
            "confidence": [0.25, 0.75], "accuracy": [0.3, 0.7], "share": [0.4, 0.6]},
        "plots.plot_cascade": {
            "graph": bn.distributions.LayeredGraph((torch.ones(3, 2),), 3)},
        "plots.plot_features": {"features": torch.randn(4, 36), "shape": (6, 6)},
        "plots.plot_footprints": {"weights": np.eye(4), "shape": (2, 2)},
        "plots.plot_group_sweep": {"sweep": _sweep()},
        "plots.plot_history": {"history": history},
        "plots.plot_inputs": {"kept": [True, False, True, True], "shape": (2, 2)},
        "plots.plot_p_values": {"p_values": [0.1, 0.5, 0.7]},
        "plots.plot_predictions": {"predicted": [1, 2], "observed": [1.1, 1.8]},
        "plots.plot_pruning_curve": {"curve": o.of(post).pruning_curve(o.pair)},
        "plots.plot_relevance": {"measures": measures},
        "plots.plot_signal_to_noise": {"ratios": {"layer1": [0.1, 1.0]}},
        "plots.plot_traversals": {"latents": [0], "frames": frames},
        "report.measure": {"post": o.of(post), "data": o.sets, "draws": 2},
        "report.measure_page": {"post": o.of(post), "data": o.sets, "draws": 2},
        "report.report_figure": {"findings": o.of(report.Findings)},
        "report.write_html": {
            "post": o.of(post), "data": o.sets, "path": path / "r.html", "draws": 2},
        "report.write_report": {
            "post": o.of(post), "data": o.sets, "path": path / "r.png", "draws": 2},
        "report.Page.html": {"command": "a"},
        "reproductions.Reproduction": {"title": "a", "reference": "b", "run": print},
        "reproductions.Request": {"out": path / "reproduced"},
        "sklearn.BayesianStructureClassifier.fit": {"y": np.arange(12) % 2},
        "sklearn.BayesianStructureRegressor.fit": {"y": np.linspace(-1, 1, 12)},
    }  # fmt: skip


class _Mine(torch.nn.Module):
    """To be registered."""


def _sweep() -> xr.Dataset:
    loss, error = [1.0, 1.0, 2.0], [0.1, 0.1, 0.1]
    measures = {"loss": loss, "loss_error": error, "parameters": [9, 4, 1]}
    by_threshold = {name: ("threshold", each) for name, each in measures.items()}
    return xr.Dataset(by_threshold, {"threshold": [0.1, 1.0, 2.0]})


def make_files(o: Objects) -> None:
    """What is read."""
    o.of(s.AdaNet).save(o.folder / "adanet")
    o.of(s.WeightAgnostic).save(o.folder / "agnostic")
    o.of(s.Supernet).save(o.folder / "supernet")
    o.of(s.Table).save(o.folder / "table.npz")
    (o.folder / "rows").mkdir(exist_ok=True)
    for place in (o.folder / "rows" / "x.npy", o.folder / "new.npy"):
        np.save(place, o.x.numpy())
    np.save(o.folder / "rows" / "y.npy", o.y.numpy())


def parameters_of(entry: Entry) -> list[inspect.Parameter]:
    """Those that are given, without the object itself."""
    function = bare(entry.function)
    function = bare(function.__init__) if isinstance(function, type) else function
    accepted = inspect.signature(function).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    skip = () if isinstance(inspect_static(entry), staticmethod) else ("self", "cls")
    return [each for each in accepted if each.kind in named and each.name not in skip[:2]]


def inspect_static(entry: Entry) -> Any:
    return None if entry.owner is None else inspect.getattr_static(entry.owner, entry.method)


def rest(reached: set[Any]) -> dict[Any, Entry]:
    """Entries that no table reaches by hand, that take an argument and that somebody calls."""
    left: dict[Any, Entry] = {}
    for function, entry in surface().items():
        if function in reached or function in RECORDS or is_hook(entry):
            continue
        with contextlib.suppress(ValueError):  # an exception of Python's
            if parameters_of(entry):
                left[function] = entry
    return left


def calls(o: Objects, reached: set[Any]) -> Iterator[Call]:
    """A call of each of them that works, and what is good for each argument."""
    names, own = by_name(o), special(o)
    for entry in rest(reached).values():
        yield _call(entry, o, names, own.get(entry.name.removeprefix("bayesnas."), {}))


def _call(entry: Entry, o: Objects, names: Mapping[str, Any], own: Mapping[str, Any]) -> Call:
    given, good = dict(own), {}
    for parameter in parameters_of(entry):
        if parameter.default is parameter.empty and parameter.name not in given:
            given[parameter.name] = names[parameter.name]
        hint = hint_of(bare(entry.function), parameter, entry.owner or _class(entry))
        good[parameter.name] = good_of(hint, parameter.name)
    good = {name: rule for name, rule in good.items() if rule is not anything}
    return Call(entry.name, _bound(entry, o), given, good)


def _class(entry: Entry) -> type | None:
    return entry.function if isinstance(entry.function, type) else None


def _bound(entry: Entry, o: Objects) -> Any:
    """The function, the class, or the method of an object."""
    if entry.owner is None:
        return entry.function
    if isinstance(inspect_static(entry), (classmethod, staticmethod)):
        return getattr(entry.owner, entry.method)
    return getattr(
        o.others.get(entry.name.removeprefix("bayesnas."), o.of(entry.owner)), entry.method
    )
