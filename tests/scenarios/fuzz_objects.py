"""Of every public class an object, made when it is asked for, whose methods are called."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyro.distributions as dist
import torch
from torch import nn

import bayesnas as bn
from bayesnas import data, loggers, report, reproductions, sklearn
from bayesnas import distributions as d
from bayesnas import likelihoods as li
from bayesnas import models as m
from bayesnas import nn as n
from bayesnas.inference import mcmc
from bayesnas.inference import search as s
from bayesnas.inference.learned.rules import MomentumRule

QUICK: dict[str, Any] = {
    "steps": 2, "batch_size": 8, "progress": False, "compile": False, "device": "cpu",
}  # fmt: skip
MEAN = torch.zeros(3)


def program(x: Any, y: Any = None) -> None:
    """Of nothing."""


class Objects:
    """``folder`` is where they may write."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        self.folder = folder
        self.x, self.y = torch.randn(12, 4), torch.arange(12) % 3
        self.pair = (self.x, self.y)
        self.numbers = (self.x, self.x[:, 0])
        self.net = bn.nn.mlp([4, 5, 3])
        self.space = s.SearchSpace({"depth": s.Integer(1, 2), "skip": s.Categorical((True, False))})
        self._made: dict[type, Any] = {}

    def of(self, cls: type) -> Any:
        """The object of a class."""
        if cls not in self._made:
            self._made[cls] = MAKERS[cls](self)
        return self._made[cls]

    def fitted(self, model: Any, **options: Any) -> Any:
        return bn.fit(model, self.pair, **QUICK, **options)

    @cached_property
    def graph(self) -> Any:
        edges = {("x", "h"): nn.Linear(4, 4), ("h", "y"): [nn.Linear(4, 3), nn.Linear(4, 3)]}
        return bn.nn.Graph(edges, example=self.x[:2])

    @cached_property
    def network(self) -> Any:
        return self.of(m.BeliefNetwork).sample(4, np.random.default_rng(0))

    @cached_property
    def neurons(self) -> Any:
        return n.NeuronGraph(4, 3, ["tanh"], [(0, 8), (8, 5), (1, 6)])

    @cached_property
    def table(self) -> np.ndarray:
        return np.random.default_rng(0).normal(size=(12, 2))

    @cached_property
    def frame(self) -> pd.DataFrame:
        return pd.DataFrame({"size": [1.0, None, 3.0], "colour": ["red", "blue", "red"]})

    @cached_property
    def split(self) -> Any:
        return data.Split.of(self.pair)

    @cached_property
    def likeliest(self) -> Any:
        return self.fitted(self.of(m.GaussianNet), kl_weight=0.0)

    @cached_property
    def others(self) -> dict[str, Any]:
        """Of methods that the object of their class can't have: what has them."""
        structured = m.LatentStructureNet(self.graph)
        chosen = self.fitted(structured)
        along = self.fitted(structured, kl_weight=bn.LogUniform(0.1, 10.0))
        numbers = m.GaussianNet(bn.nn.mlp([4, 1]), likelihood="gaussian")
        return {
            "Posterior.moments": bn.fit(numbers, self.numbers, **QUICK),
            "Posterior.retrain": chosen,
            "inference.AmortizedPosterior.architecture": along,
            "inference.AmortizedPosterior.retrain": along,
        }

    @cached_property
    def sets(self) -> Any:
        return data.DataSet("d", self.split, None, self.split)

    def sampler(self) -> Any:
        rng = np.random.default_rng(0)
        return mcmc.LatentFeatureSampler(rng.normal(size=(6, 3)), rng=rng)

    def code(self) -> Any:
        quick = {"block_bits": 4, "epochs": 0, "coding_epochs": 0, "rounds": 1, "progress": False}
        return bn.code(self.of(bn.Posterior), self.pair, size=400, **quick)

    def ticket(self) -> Any:
        tickets = bn.lottery_tickets(self.net, self.pair, rounds=1, epochs=1, progress=False)
        return tickets.tickets[-1]

    def agnostic(self) -> Any:
        few = {"generations": 1, "population": 4, "tournament": 2, "weights": (-1.0, 1.0)}
        return s.weight_agnostic(self.pair, progress=False, **few)

    def estimator(self, cls: type, y: np.ndarray) -> Any:
        return cls(hidden=(), steps=1, draws=2, device="cpu").fit(self.table, y)


MAKERS: dict[type, Callable[[Objects], Any]] = {
    # Fits
    bn.Posterior: lambda o: o.fitted(o.of(m.GaussianNet)),
    bn.inference.AmortizedPosterior: lambda o: o.fitted(
        o.of(m.GaussianNet), kl_weight=bn.LogUniform(0.1, 10.0)),
    bn.inference.Posteriors: lambda o: o.fitted(o.of(m.GaussianNet), kl_weight=[0.5, 1.0]),
    bn.Bilevel: lambda o: bn.Bilevel(),
    bn.GeneralisedObjective: lambda o: bn.GeneralisedObjective(),
    bn.inference.BoundTerms: lambda o: bn.inference.bound_terms(
        o.of(bn.Posterior).model, o.x, o.y),
    bn.inference.Coded: Objects.code,
    bn.inference.Compressed: lambda o: bn.inference.Compressed(
        o.net, o.of(bn.Posterior), o.of(bn.Posterior).history, o.net, 0.1, None),
    bn.inference.Evidence: lambda o: o.of(bn.Posterior).evidence(o.pair, draws=30),
    bn.inference.SimulatedCalibration: lambda o: bn.vsbc(
        o.of(m.GaussianNet), o.pair, simulations=10, draws=2, **QUICK),
    bn.inference.Greedy: lambda o: bn.inference.Greedy(),
    bn.inference.Implicit: lambda o: bn.inference.Implicit(),
    bn.inference.Unrolled: lambda o: bn.inference.Unrolled(),
    bn.inference.LearnedOptimizer: lambda o: bn.inference.LearnedOptimizer(MomentumRule()),
    bn.inference.Pruned: lambda o: bn.prune(o.net, o.pair, fraction=0.5, progress=False),
    bn.inference.Ticket: Objects.ticket,
    # Data
    data.DataInfo: lambda o: o.split.info,
    data.DataSet: lambda o: o.sets,
    data.DataSource: lambda o: data.DataSource("digits"),
    data.Inputs: lambda o: data.Inputs([o.x]),
    data.Split: lambda o: o.split,
    data.Standardisation: lambda o: data.Standardisation((0.0,) * 4, (1.0,) * 4, (0.0,), (1.0,)),
    data.StreamedSplit: lambda o: data.from_dataset(o.pair, classes=3),
    data.TableEncoding: lambda o: data.TableEncoding.fit(o.frame),
    # Distributions
    d.BetaBernoulliBuffet: lambda o: d.BetaBernoulliBuffet(1.0, 1.0, 3, 2),
    d.BinaryConcrete: lambda o: d.BinaryConcrete(0.5, logits=MEAN),
    d.CascadingIndianBuffet: lambda o: d.CascadingIndianBuffet(1.0, 1.0, 3),
    d.ConcreteGate: lambda o: d.ConcreteGate(0.5, logits=MEAN),
    d.GaussianWeights: lambda o: d.GaussianWeights(MEAN, MEAN + 1),
    d.GroupScales: lambda o: d.GroupScales(dist.LogNormal(MEAN, 1.0)),
    d.GumbelSoftmax: lambda o: d.GumbelSoftmax(0.5, logits=MEAN),
    d.HardConcrete: lambda o: d.HardConcrete(0.5, logits=MEAN),
    d.Horseshoe: lambda o: d.Horseshoe(1.0),
    d.IndianBuffet: lambda o: d.IndianBuffet(1.0, 1.0, 3),
    d.Kumaraswamy: lambda o: d.Kumaraswamy(1.0, 2.0),
    d.LogUniform: lambda o: d.LogUniform(0.1, 10.0),
    d.LogitNormal: lambda o: d.LogitNormal(MEAN, MEAN + 1),
    d.NormalJeffreys: lambda o: d.NormalJeffreys(),
    d.SpikeAndSlab: lambda o: d.SpikeAndSlab(0.5),
    d.StickBreakingBuffet: lambda o: d.StickBreakingBuffet(1.0, 3),
    d.StraightThroughBernoulli: lambda o: d.StraightThroughBernoulli(logits=MEAN),
    d.StraightThroughOneHot: lambda o: d.StraightThroughOneHot(logits=MEAN),
    d.TruncatedLogNormal: lambda o: d.TruncatedLogNormal(0.0, 1.0, 0.1, 10.0),
    # Likelihoods
    li.Bernoulli: lambda o: li.Bernoulli(),
    li.Categorical: lambda o: li.Categorical(),
    li.Gaussian: lambda o: li.Gaussian(),
    li.Heteroscedastic: lambda o: li.Heteroscedastic(),
    li.Likelihood: lambda o: li.Likelihood(),
    li.NegativeBinomial: lambda o: li.NegativeBinomial(),
    li.Ordinal: lambda o: li.Ordinal(3),
    li.Poisson: lambda o: li.Poisson(),
    # Models
    m.ArdRegression: lambda o: m.ArdRegression(4),
    m.ArdVae: lambda o: m.ArdVae(4, latents=3, hidden=(4,)),
    m.BayesianCompressionNet: lambda o: m.BayesianCompressionNet(o.net),
    m.BayesianModel: lambda o: m.BayesianModel(),
    m.BeliefNetwork: lambda o: m.BeliefNetwork(visible=3),
    m.GaussianNet: lambda o: m.GaussianNet(o.net),
    m.IndianBuffetVae: lambda o: m.IndianBuffetVae(4, latents=3, hidden=(4,)),
    m.LatentFeatures: lambda o: m.LatentFeatures(4),
    m.LatentStructureNet: lambda o: m.LatentStructureNet(o.graph),
    m.PyroPair: lambda o: m.PyroPair(program, program),
    m.SpikeAndSlabNet: lambda o: m.SpikeAndSlabNet(o.net),
    m.SpikeAndSlabRegression: lambda o: m.SpikeAndSlabRegression(4),
    m.SupermaskNet: lambda o: m.SupermaskNet(o.net),
    # Networks
    n.CurvatureMap: lambda o: n.CurvatureMap(),
    n.GaussianNoise: lambda o: n.GaussianNoise(1.0),
    n.GaussianTensor: lambda o: n.GaussianTensor(MEAN, MEAN + 1),
    n.Graph: lambda o: o.graph,
    n.LinearMap: lambda o: n.LinearMap(),
    n.LowRankMap: lambda o: n.LowRankMap(),
    n.MonotoneMap: lambda o: n.MonotoneMap((1.0, 2.0)),
    n.NeuronGraph: lambda o: o.neurons,
    n.NeuronNet: lambda o: n.NeuronNet.of(o.neurons),
    n.PiecewiseMap: lambda o: n.PiecewiseMap(),
    n.SelectInputs: lambda o: n.SelectInputs([0, 1]),
    n.StandardisedNet: lambda o: n.StandardisedNet(o.net, [0.0] * 4, [1.0] * 4),
    n.StochasticLayers: lambda o: n.StochasticLayers(
        bn.nn.mlp([4, 3]), n.is_linear_or_convolution),
    n.SubnetworkSum: lambda o: n.SubnetworkSum(4, 3, [[2]]),
    n.VariationalParameters: lambda o: n.VariationalParameters({"a": MEAN}),
    # Samplers
    mcmc.BeliefNetworkSampler: lambda o: mcmc.BeliefNetworkSampler(
        o.of(m.BeliefNetwork), np.random.default_rng(0)),
    mcmc.BeliefPosterior: lambda o: mcmc.BeliefPosterior(
        o.of(m.BeliefNetwork), ((o.network,),)),
    mcmc.LatentFeatureDraws: lambda o: mcmc.sample_latent_features(
        o.table, draws=2, warmup=1, chains=1),
    mcmc.LatentFeatureSampler: Objects.sampler,
    # Searches
    s.AdaNet: lambda o: s.adanet(o.pair, width=2, most_rounds=1, epochs=1, progress=False),
    s.Categorical: lambda o: s.Categorical((1, 2)),
    s.ClippedSGD: lambda o: s.ClippedSGD([nn.Parameter(o.x)], lr=0.1),
    s.HiddenNeurons: lambda o: s.HiddenNeurons(o.pair, o.pair, steps=1),
    s.Integer: lambda o: s.Integer(1, 3),
    s.LinearFeatures: lambda o: s.LinearFeatures(o.numbers, o.numbers),
    s.LogReal: lambda o: s.LogReal(0.1, 1.0),
    s.Real: lambda o: s.Real(0.0, 1.0),
    s.SearchResult: lambda o: s.search(o.space, lambda c: c["depth"], "grid", progress=False),
    s.SearchSpace: lambda o: o.space,
    s.Supernet: lambda o: s.Supernet(o.graph),
    s.Table: lambda o: s.Table(o.space, {"error": np.arange(4.0)}, {}),
    s.WeightAgnostic: Objects.agnostic,
    s.When: lambda o: s.When("a", (1,)),
    # What surrounds them
    loggers.CSVLogger: lambda o: loggers.CSVLogger(o.folder / "log.csv"),
    loggers.Logger: lambda o: loggers.Logger(),
    loggers.TensorBoardLogger: lambda o: loggers.TensorBoardLogger(o.folder / "tb"),
    report.Findings: lambda o: report.measure(o.of(bn.Posterior), o.sets, draws=2),
    report.Page: lambda o: report.measure_page(o.of(bn.Posterior), o.sets, draws=2),
    reproductions.Comparison: lambda o: reproductions.Comparison(
        {"a": "b"}, "error", 1.0, (1.0,)),
    reproductions.Request: lambda o: reproductions.Request(o.folder / "reproduced"),
    sklearn.BayesianStructureClassifier: lambda o: o.estimator(
        sklearn.BayesianStructureClassifier, np.arange(12) % 2),
    sklearn.BayesianStructureRegressor: lambda o: o.estimator(
        sklearn.BayesianStructureRegressor, np.linspace(-1, 1, 12)),
}  # fmt: skip
