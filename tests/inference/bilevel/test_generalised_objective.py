"""The generalised objective as an option of a fit: its terms in h, resumption, files, errors."""

from __future__ import annotations

import json
from typing import Any

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.distributions import GumbelSoftmax
from bayesnas.inference import GeneralisedObjective, Implicit, bound_terms
from bayesnas.inference.bilevel.hyper_terms import divergence
from bayesnas.inference.compile import trace
from bayesnas.inference.steps import bilevel_step

CPU = {"device": "cpu", "progress": False}


def lines(n: int = 24, seed: int = 0) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    return x, x[:, 0] - 0.5 * x[:, 1]


def graph() -> bn.nn.Graph:
    torch.manual_seed(0)
    edges = {("x", "y"): {"free": nn.Linear(3, 1), "plain": nn.Linear(3, 1, bias=False)}}
    return bn.nn.Graph(edges, example=torch.zeros(1, 3))


def structured(**options: Any) -> bn.models.LatentStructureNet:
    chosen = {"structure_prior": "learned", "prior_scale": "ard", "temperature": 1.0, **options}
    return bn.models.LatentStructureNet(graph(), likelihood="gaussian", **chosen)


def away(temperature: float = 0.1, weight: float = -1.0) -> dict[str, Any]:
    prior = GumbelSoftmax(temperature, logits=torch.tensor([2.0, 0.0]))
    return {"structure_weights": [weight], "structure_priors": [prior]}


def fit(model: bn.models.BayesianModel, objective: Any, **options: Any) -> bn.Posterior:
    chosen = {"steps": 12, "batch_size": 24, "lr": 0.05, **CPU, **options}
    post: bn.Posterior = bn.fit(model, lines(), objective=objective, **chosen)
    return post


def alike(first: bn.Posterior, second: bn.Posterior, tolerance: float = 0.0) -> bool:
    there = second.model.state_dict()
    return all(
        torch.allclose(value, there[name], rtol=0.0, atol=tolerance)
        for name, value in first.model.state_dict().items()
    )


# What is added to the bound -----------------------------------------------------------------


def test_a_joint_objective_without_terms_in_h_is_the_bound(numbers):
    """To the last bit, at its lower KL weight."""
    model = bn.models.ArdRegression(3, noise_scale=0.5)
    joint = fit(model, GeneralisedObjective(2.0, 0.5, 1.0))
    plain = bn.fit(model, lines(), kl_weight=2.0, steps=12, batch_size=24, lr=0.05, **CPU)
    assert numbers(joint) == numbers(plain)


@pytest.mark.parametrize(("coefficients", "scale"), [((4.0, 0.25, 1.0), 4.0), ((1, 2, 1), 1.0)])
def test_the_terms_in_h_are_divergences_and_a_density(coefficients: Any, scale: float):
    """Divided by λ^lik_Q where h and θ share a step; KL in closed form at one temperature."""
    model = structured(domain="simplex-vertices")
    other, on_logits = torch.tensor([[0.7, 0.3]]), dist.Normal(1.0, 2.0)
    objective = GeneralisedObjective(
        *coefficients,
        structure_weights=[0.5],
        structure_priors=[dist.OneHotCategorical(probs=other)],
        hyperprior={"prior_gamma": on_logits},
    )
    model.hyper_terms = objective.hyper_terms(model, torch.device("cpu"))
    x, y = lines()
    with torch.no_grad():
        terms = bound_terms(model, x, y)
        p = torch.full((1, 2), 0.5)
        kl = (p * (p / other).log()).sum()
        expected = on_logits.log_prob(torch.tensor(0.0)) * 2 - 0.5 * kl
        assert float(terms.hyper) == pytest.approx(scale * float(expected), rel=1e-5)
        bound = terms.expected_log_lik() - 3.0 * terms.kl_divergence() + terms.hyper
        assert float(terms.bound(3.0)) == pytest.approx(float(bound), rel=1e-6)


def test_a_divergence_from_draws_is_that_in_closed_form():
    """Two Gumbel-Softmaxes of one temperature have one; the same as numbers of two types do not."""
    p, other = (torch.tensor(v) for v in ([0.5, 0.0, -1.0], [0.0, 1.0, 0.0]))
    tau = torch.tensor(0.7)
    closed = divergence(GumbelSoftmax(tau, logits=p), GumbelSoftmax(tau, logits=other))
    first, second = GumbelSoftmax(tau, logits=p), GumbelSoftmax(tau.clone(), logits=other)
    draws = 20_000
    values = first.rsample(torch.Size([draws]))
    error = (first.log_prob(values) - second.log_prob(values)).std() / draws**0.5
    assert abs(divergence(first, second, draws) - closed) < 5.5 * 2**0.5 * error


def test_a_hyperprior_pulls_the_prior_scale():
    """Narrow, it decides: ln s within a tenth of its width of its mean."""
    density = dist.Normal(0.7, 1e-3)
    model = bn.models.GaussianNet(
        bn.nn.mlp([3, 1]), prior_scale="learned", likelihood="gaussian", noise_scale=1.0
    )
    post = fit(model, GeneralisedObjective(hyperprior={"log_prior_scale": density}), steps=200)
    assert float(post.model.log_prior_scale.detach()) == pytest.approx(0.7, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("upper", [None, bn.Bilevel("unrolled"), bn.Bilevel(Implicit(steps=2))])
def test_recorded_steps_equal_eager_ones(upper: Any, caplog):
    """Of the terms in h too, whose noise is drawn with the rest."""
    objective = GeneralisedObjective(upper=upper, **away())
    sgd = torch.optim.SGD
    traced = fit(structured(), objective, compile="trace", optimizer=sgd)
    plain = fit(structured(), objective, compile=False, optimizer=sgd)
    assert not [record for record in caplog.records if "eager" in record.message]
    assert alike(traced, plain, 1e-5)


def test_where_h_acts_on_the_kl_alone_a_series_of_none_needs_one_gradient(monkeypatch):
    """Half the matrix products of an unrolled step, which has the gradients of both levels."""
    counts = []

    def counted(function: Any, inputs: Any) -> Any:
        recorded = trace.trace_step(function, inputs)
        names = [str(node.target) for node in recorded.graph.graph.nodes]
        counts.append(sum("mm" in name for name in names))
        return recorded

    monkeypatch.setattr(bilevel_step, "trace_step", counted)
    net = bn.models.GaussianNet(bn.nn.mlp([3, 4, 1]), prior_scale="learned", likelihood="gaussian")
    for kind in ("unrolled", Implicit("neumann", steps=0)):
        fit(net, GeneralisedObjective(upper=bn.Bilevel(kind)), steps=1, compile="trace")
    assert 2 * counts[1] == counts[0] > 0


@pytest.mark.slow
def test_batched_restarts_have_the_numbers_of_each_alone():
    objective = GeneralisedObjective(**away())
    options = {"restarts": 2, "compile": "trace"}
    together = fit(structured(), objective, batched=True, **options)
    alone = fit(structured(), objective, batched=False, **options)
    for chain in (0, 1):
        assert alike(together.chain(chain), alone.chain(chain), 1e-5)
    with pytest.raises(
        ValueError, match="batched: the chains can't be trained together: a bilevel"
    ):
        fit(structured(), GeneralisedObjective(upper=bn.Bilevel()), batched=True, **options)


def test_weights_of_rows_count_on_both_levels():
    """Every row twice, or every row with a weight of two: the same sums, N of the rows aside."""
    objective = GeneralisedObjective(kl_weight_upper=0.5)
    model, (x, y) = bn.models.ArdRegression(3, noise_scale=0.5, intercept=False), lines()
    options = {"objective": objective, "steps": 8, "lr": 1e-3, "optimizer": torch.optim.Adam, **CPU}
    weighted = bn.fit(model, (x, y), sample_weight=[2.0] * 24, batch_size=24, **options)
    plain = bn.fit(model, (x, y), batch_size=24, **options)
    assert not alike(weighted, plain, 1e-6)
    assert weighted.model.log_prior_scale.isfinite().all()


def test_validation_data_is_measured_and_trains_nothing():
    objective = GeneralisedObjective(kl_weight_upper=0.5)
    model = bn.models.ArdRegression(3, noise_scale=0.5)
    seen = fit(model, objective, validation=lines(seed=1))
    assert len(seen.records()[0].validation_nll) == 12
    assert alike(seen, fit(model, objective))
    early = fit(model, objective, validation=lines(seed=1), patience=1)
    assert len(early.records()[0].validation_nll) <= 12


# Files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["joint", "implicit"])
def test_a_fit_resumes_exactly_and_says_its_objective(tmp_path, way: str):
    upper = None if way == "joint" else bn.Bilevel(Implicit(steps=2), lr=0.05)
    objective = GeneralisedObjective(4.0, 0.25, 1.0, upper=upper, **away())
    options = {"checkpoint_every": 5, "compile": False}
    whole = fit(structured(), objective, **options)

    def stop(event: bn.inference.StepEvent) -> None:
        if event.step == 7:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fit(structured(), objective, out=tmp_path / "run", on_step=stop, **options)
    resumed = fit(structured(), objective, out=tmp_path / "run", resume=True, **options)
    loaded = bn.load(tmp_path / "run")
    assert alike(whole, resumed)
    assert alike(whole, loaded)
    stored = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert stored["kl_weight"] == loaded.kl_weight == 4.0
    assert (stored["bilevel"] is None) == (way == "joint")
    said = stored["objective"]
    assert said == loaded.run.settings.objective
    assert said["likelihood_weight"] == 0.25
    assert said["structure_weights"] == [-1.0]
    (prior,) = said["structure_priors"]
    assert prior["class"] == "GumbelSoftmax"
    assert prior["logits"] == [2.0, 0.0]
    assert prior["temperature"] == pytest.approx([0.1])
    other = GeneralisedObjective(4.0, 0.25, 1.0, upper=upper, **away(weight=-2.0))
    with pytest.raises(ValueError, match="settings objective="):
        fit(structured(), other, out=tmp_path / "run", resume=True, **options)


def test_refining_goes_on_with_an_objective():
    objective = GeneralisedObjective(**away())
    post = fit(structured(), objective)
    further = post.refine(lines(), steps=3, objective=objective, progress=False)
    assert further.run.settings.objective == objective.config()
    assert not alike(post, further)
    bare = post.refine(lines(), steps=3, kl_weight=1.0, progress=False)
    assert bare.run.settings.objective is None
    upper = GeneralisedObjective(kl_weight_upper=0.5)
    assert post.refine(lines(), steps=3, objective=upper, progress=False).run.settings.bilevel
    with pytest.raises(ValueError, match="objective must be given again"):
        post.refine(lines(), steps=3, progress=False)
    with pytest.raises(ValueError, match="kl_weight has no place beside objective"):
        post.refine(lines(), steps=3, kl_weight=2.0, objective=objective, progress=False)
    with pytest.raises(TypeError, match="objective must be a bayesnas.GeneralisedObjective"):
        post.refine(lines(), steps=3, objective="elbo", progress=False)  # type: ignore[arg-type]


# Arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"kl_weight_lower": -1.0}, ValueError, "kl_weight_lower must be a finite number >= 0"),
        ({"likelihood_weight": -0.1}, ValueError, "likelihood_weight must be a finite number >= 0"),
        ({"kl_weight_upper": float("nan")}, ValueError, "kl_weight_upper must be a finite number"),
        ({"structure_weights": [1.0]}, ValueError, "structure_weights must have one number for"),
        ({"structure_weights": 1.0}, TypeError, "structure_weights must be a sequence, got 1.0"),
        (away(weight=float("inf")), ValueError, r"structure_weights\[0\] must be a finite number"),
        (
            {"structure_weights": [1.0], "structure_priors": [torch.ones(2)]},
            TypeError,
            r"structure_priors\[0\] must be a distribution or a mapping",
        ),
        ({"hyperprior": {"log_prior_scale": 2.0}}, TypeError, "hyperprior must be a mapping from"),
        ({"upper": "unrolled"}, TypeError, "upper must be a bayesnas.Bilevel, got 'unrolled'"),
        ({"upper": bn.Bilevel(kl_weight=1.0)}, ValueError, "upper must have no kl_weight"),
        ({"upper": bn.Bilevel(likelihood_weight=2.0)}, ValueError, "upper must have no kl_weight"),
    ],
)
def test_a_bad_option_is_named(options: dict[str, Any], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        GeneralisedObjective(**options)


def gumbel(*shape: int) -> GumbelSoftmax:
    return GumbelSoftmax(0.1, logits=torch.zeros(*shape))


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (gumbel(3), r"structure_priors\[0\] must have the shape of p\(Γ \| h\), \[1, 2\]"),
        (gumbel(4, 2), r"got batch_shape \[4\] and event_shape \[2\]"),
        ({"gamma1": gumbel(2)}, r"must be by site out of \['gamma'\], got \['gamma1'\]"),
        (dist.OneHotCategorical(logits=torch.zeros(2)), r"structure_priors\[0\]: KL\(Gumbel"),
    ],
)
def test_a_structure_prior_that_does_not_fit_is_named(prior: Any, message: str):
    objective = GeneralisedObjective(structure_weights=[1.0], structure_priors=[prior])
    with pytest.raises(ValueError, match=message):
        fit(structured(), objective)


def test_what_does_not_go_with_a_model_or_a_fit_is_named(refused):
    learned = bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale="learned")
    plain = GeneralisedObjective()
    for model, options, error, message in (
        (bn.models.GaussianNet(bn.nn.mlp([4, 3])), {}, ValueError, "objective needs a model with"),
        (learned, {"kl_weight": 2.0}, ValueError, "kl_weight has no place beside objective"),
        (learned, {"kl_weight": bn.LogUniform(0.1, 1)}, ValueError, "kl_weight has no place"),
        (learned, {"bilevel": bn.Bilevel()}, ValueError, "give either objective or bilevel"),
        (learned, {"objective": "elbo"}, TypeError, "objective must be a bayesnas.Generalised"),
        (learned, {"objective": GeneralisedObjective(**away())}, ValueError, "a latent structure"),
        (learned, {"objective": GeneralisedObjective(hyperprior={"net": dist.Normal(0.0, 1.0)})},
         ValueError, "hyperprior must name trainable parameters"),
        (learned, {"objective": GeneralisedObjective(
            hyperprior={"variational": dist.Normal(0.0, 1.0)})},
         ValueError, "hyperprior must be of hyperparameters"),
        (learned, {"objective": GeneralisedObjective(
            hyperprior={"log_prior_scale": dist.Gamma(1.0, 1.0)})},
         ValueError, "hyperprior.'log_prior_scale'. must be"),
    ):  # fmt: skip
        refused(error, message, model=model, **{"objective": plain, **options})


def test_supports_are_checked_where_torch_no_longer_does(monkeypatch):
    """``torch.compile`` turns the checks of distributions off for the whole process."""
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", False)
    discrete = dist.OneHotCategorical(logits=torch.zeros(2))
    objective = GeneralisedObjective(structure_weights=[1.0], structure_priors=[discrete])
    with pytest.raises(ValueError, match=r"structure_priors\[0\]: KL\(Gumbel"):
        fit(structured(), objective)


def test_models_say_their_hyperparameters():
    net = bn.nn.mlp([3, 2])
    gates = bn.models.SpikeAndSlabNet
    for model, names in (
        (bn.models.ArdRegression(3), ("log_prior_scale",)),
        (bn.models.ArdRegression(3, hyperparameters="posterior"), ()),
        (bn.models.GaussianNet(net), ()),
        (bn.models.GaussianNet(net, prior_scale="ard"), ("log_prior_scale",)),
        (bn.models.GaussianNet(net, prior_scale="learned", stochastic="none"), ()),
        (bn.models.SpikeAndSlabRegression(3), ()),
        (bn.models.SpikeAndSlabRegression(3, slab_scale="learned"), ("log_slab_scale",)),
        (gates(net), ()),
        (gates(net, inclusion="learned"), ("gate_prior_logits",)),
        (gates(net, slab_scale="learned"), ("log_slab_scale",)),
        (structured(), ("prior_gamma", "log_prior_scale")),
        (structured(structure_prior="cost", prior_scale=1.0), ()),
    ):
        assert model.prior_parameters() == names
        trained = [n for n, p in model.named_parameters() if p.requires_grad]
        assert all(any(t.startswith(name) for t in trained) for name in names)
