"""The nine properties of the generalised objective, against optima in closed form or on a grid.

In a regression of orthogonal columns, XᵀX = nI, and noise of one, everything separates: with
least-squares weights b and prior scale s the posterior of a weight at λ is N(kb, kλ/n),
k = s²n / (s²n + λ).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

import bayesnas as bn
from bayesnas.complexity import smallest_gaussian_kl
from bayesnas.distributions import GaussianWeights
from bayesnas.distributions.deferred.deferred import Deferred
from bayesnas.distributions.deferred.expected_likelihoods import ExpectedNormal
from bayesnas.inference import GeneralisedObjective, Implicit, Unrolled
from bayesnas.models.base import BayesianModel
from bayesnas.pruning.criteria.relative_density import relative_density

N = 32
WEIGHTS = torch.tensor([1.4, -1.1, 0.9, 0.8], dtype=torch.float64)  # b, by least squares
P = len(WEIGHTS)


class Regression(BayesianModel):
    """W ~ N(0, s²), y ~ N(xw, 1), a free Gaussian guide, E log p in closed form: no noise.

    Args:
        tied: one s (ridge), or one a weight (ARD).
    """

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.log_prior_scale = nn.Parameter(torch.zeros(1 if tied else P, dtype=torch.float64))
        self.loc = nn.Parameter(torch.zeros(P, dtype=torch.float64))
        self.log_width = nn.Parameter(torch.full((P,), -1.5, dtype=torch.float64))

    def prior_parameters(self) -> tuple[str, ...]:
        return ("log_prior_scale",)

    def model(self, x: Tensor, y: Tensor | None = None) -> None:
        scale = self.log_prior_scale.exp().expand(P)
        w: Any = pyro.sample("w", dist.Normal(torch.zeros_like(scale), scale).to_event(1))
        q = w.source
        fn = ExpectedNormal(x @ q.mean, x.square() @ q.variance, torch.ones_like(x[:, 0]))
        with pyro.plate("data", len(x)):
            pyro.sample("y", fn, obs=y)

    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        pyro.sample("w", Deferred(dist.Normal(self.loc, self.log_width.exp()).to_event(1)))

    @property
    def squares(self) -> list[float]:
        """s²."""
        return self.log_prior_scale.detach().mul(2).exp().tolist()

    @torch.no_grad()
    def divergence(self) -> float:
        q = dist.Normal(self.loc, self.log_width.exp())
        p = dist.Normal(torch.zeros_like(q.loc), self.log_prior_scale.exp().expand(P))
        return float(torch.distributions.kl_divergence(q, p).sum())


@functools.cache
def sample() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(N, P + 1, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(noise).Q * math.sqrt(N)
    return basis[:, :P], basis[:, :P] @ WEIGHTS + 0.9 * basis[:, P]  # what is left is orthogonal


def fitted(
    objective: GeneralisedObjective,
    *,
    tied: bool = False,
    data: tuple[Tensor, Tensor] | None = None,
    steps: int = 300,
) -> Regression:
    x, y = data or sample()
    post = bn.fit(
        Regression(tied), (x, y), objective=objective, steps=steps, lr=0.1, batch_size=len(x),
        compile="trace", device="cpu", progress=False,
    )  # fmt: skip
    assert isinstance(post.model, Regression)
    return post.model


def posterior(s2: Tensor, kl_weight: float) -> tuple[Tensor, Tensor]:
    """Exact mean and variance given s²."""
    k = s2 * N / (s2 * N + kl_weight)
    return k * WEIGHTS, k * kl_weight / N


def evidence_scales(kl_weight: float, *, tied: bool) -> list[float]:
    """s² that maximises the bound at λ: E b² − λ/n, of each weight or on average."""
    scales = WEIGHTS.square() - kl_weight / N
    return [float(scales.mean())] if tied else scales.tolist()


def upper_optimum(lik: float, kl: float) -> tuple[list[float], float]:
    """s² of every weight that maximises Q at the posterior of λ = 1, on a grid; the KL there."""
    k = torch.linspace(1e-4, 1 - 1e-5, 400_001, dtype=torch.float64)
    scales, divergences = [], []
    for weight in WEIGHTS:
        a = N * weight.square()
        log_lik = -0.5 * (a * (1 - k).square() + k)
        divergence = 0.5 * (-(1 - k).log() - k + a * k * (1 - k))
        best = int((lik * log_lik - kl * divergence).argmax())
        scales.append(float(k[best] / (1 - k[best]) / N))
        divergences.append(float(divergence[best]))
    return scales, sum(divergences)


WAYS = {
    "joint": None,
    "unrolled": bn.Bilevel(Unrolled(), lr=0.1, schedule="cosine"),
    "implicit": bn.Bilevel(Implicit(steps=8), lr=0.05, schedule="cosine", start=0.2),
}


@pytest.mark.slow_except("joint-ard", "unrolled-ridge", "implicit-ard")
@pytest.mark.parametrize("tied", [True, False], ids=["ridge", "ard"])
@pytest.mark.parametrize("way", WAYS)
def test_joint_unrolled_and_implicit_find_the_prior_scales_of_most_evidence(way: str, tied: bool):
    """Within 1 %, on a ridge problem and on ARD."""
    model = fitted(GeneralisedObjective(upper=WAYS[way]), tied=tied)
    assert model.squares == pytest.approx(evidence_scales(1.0, tied=tied), rel=0.01)


def test_1_with_all_coefficients_one_it_is_the_evidence_and_the_posterior():
    x, y = sample()
    model = fitted(GeneralisedObjective())
    s2 = torch.tensor(model.squares, dtype=torch.float64)
    mean, variance = posterior(s2, 1.0)
    assert model.loc.tolist() == pytest.approx(mean.tolist(), rel=1e-3)
    assert model.log_width.mul(2).exp().tolist() == pytest.approx(variance.tolist(), rel=1e-3)
    covariance = torch.eye(N, dtype=torch.float64) + x @ torch.diag(s2) @ x.T
    evidence = MultivariateNormal(torch.zeros(N, dtype=torch.float64), covariance).log_prob(y)
    with torch.no_grad():
        bound = bn.inference.bound_terms(model, x, y).bound(1.0)
    assert float(bound) == pytest.approx(float(evidence), abs=1e-3)


@pytest.mark.slow_except("joint")
@pytest.mark.parametrize("way", ["joint", "implicit"])
def test_2_where_q_is_a_multiple_of_l_one_optimisation_serves_both(way: str):
    """λ^prior_Q = λ^lik_Q λ^prior_L = 2: what maximises the bound at λ = 4, jointly or not."""
    objective = GeneralisedObjective(4.0, 0.5, 2.0, upper=WAYS[way])
    assert objective.is_joint == (way == "joint")
    model = fitted(objective)
    assert model.squares == pytest.approx(evidence_scales(4.0, tied=False), rel=0.01)


def test_3_without_a_kl_term_it_is_maximum_likelihood():
    model = fitted(GeneralisedObjective(0.0, 1.0, 0.0))
    assert model.loc.tolist() == pytest.approx(WEIGHTS.tolist(), rel=1e-3)
    assert model.log_width.max().item() < -3  # towards a point
    assert model.squares == [1.0] * P  # nothing acts on them


@pytest.mark.slow_except("at every step")
@pytest.mark.parametrize(
    ("upper", "steps"),
    [
        pytest.param(WAYS["implicit"], 600, id="at every step"),
        pytest.param(None, 2000, id="by default, seldom"),
    ],
)
def test_4_without_the_upper_kl_the_evidence_is_that_of_maximum_likelihood_hyperparameters(
    upper: bn.Bilevel | None, steps: int
):
    """H maximises E log p under the posterior that it gives: s² = 2b² − 1/n, and q is exact."""
    model = fitted(GeneralisedObjective(kl_weight_upper=1e-6, upper=upper), steps=steps)
    expected = 2 * WEIGHTS.square() - 1 / N
    assert model.squares == pytest.approx(expected.tolist(), rel=0.01)
    mean, variance = posterior(torch.tensor(model.squares, dtype=torch.float64), 1.0)
    assert model.loc.tolist() == pytest.approx(mean.tolist(), rel=1e-3)
    assert model.log_width.mul(2).exp().tolist() == pytest.approx(variance.tolist(), rel=5e-3)


def test_5_a_lower_kl_weight_of_c_is_a_sample_c_times_smaller():
    x, y = sample()
    twice = fitted(GeneralisedObjective(2.0, 1.0, 2.0), data=(x.repeat(2, 1), y.repeat(2)))
    once = fitted(GeneralisedObjective())
    for name, value in once.named_parameters():
        assert torch.allclose(dict(twice.named_parameters())[name], value, atol=2e-3), name


@pytest.mark.slow
def test_6_a_larger_upper_kl_weight_alone_lowers_the_divergence():
    """And to what it is at the optimum of Q, on a grid."""
    divergences = []
    for weight in (0.1, 4.0):
        scales, expected = upper_optimum(1.0, weight)
        objective = GeneralisedObjective(kl_weight_upper=weight, upper=WAYS["implicit"])
        model = fitted(objective, steps=500)
        divergences.append(model.divergence())
        assert divergences[-1] == pytest.approx(expected, abs=2e-3)
        assert model.squares == pytest.approx(scales, rel=0.01)
    assert divergences[0] > divergences[1] + 0.03


def test_7_no_parametric_complexity_means_a_relative_density_of_one():
    r"""ln 1/ρ = Σ μ²/2σ² ≤ (e^{2C} − 1)/2, since 2C ≥ Σ ln(1 + μ²/σ²); both vanish together."""
    pairs = []
    for kl_weight in (1.0, 1e3, 1e6):
        objective = GeneralisedObjective(kl_weight, 1.0, kl_weight)
        model = fitted(objective, tied=True)
        q = GaussianWeights(model.loc.detach(), log_scale=model.log_width.detach())
        complexity = float(smallest_gaussian_kl([q]))
        inverse = float(1 / relative_density(q.loc, q.scale).prod())
        assert 0 <= math.log(inverse) <= math.expm1(2 * complexity) / 2 + 1e-9
        pairs.append((complexity, inverse))
    assert pairs[0][0] > 1 > pairs[1][0] > pairs[2][0]
    assert pairs[2] == pytest.approx((0.0, 1.0), abs=1e-3)


def structured(temperature: float, logits: list[float]) -> dist.TorchDistribution:
    edges = {("x", "y"): [nn.Linear(2, 1), nn.Linear(2, 1), nn.Linear(2, 1)]}
    graph = bn.nn.Graph(edges, example=torch.zeros(1, 2))
    model = bn.models.LatentStructureNet(
        graph, structure_prior="learned", temperature=temperature, likelihood="gaussian"
    )
    with torch.no_grad():
        model.prior_gamma.copy_(torch.tensor([logits]))  # type: ignore[operator]
    return model.structure_priors()["gamma"]  # type: ignore[return-value]


@pytest.mark.parametrize("temperature", [0.01, 1.0, 100.0])
def test_8_the_structure_prior_is_categorical_at_its_vertices(temperature: float):
    """P(arg max = l) = s_l / Σ s at any temperature; cold at the vertices, hot at the centre."""
    shares, draws = torch.tensor([0.2, 0.3, 0.5]), 20_000
    gamma = structured(temperature, shares.log().tolist()).sample(torch.Size([draws]))[:, 0]
    counts = torch.bincount(gamma.argmax(-1), minlength=3) / draws
    assert ((counts - shares).abs() < 5.5 * (shares * (1 - shares) / draws).sqrt()).all()
    largest = gamma.max(-1).values
    if temperature == 0.01:  # the gap of two Gumbel variables is below 0.05 in 5 % of the draws
        assert (largest > 0.99).float().mean() > 0.9
    if temperature == 100.0:
        assert (largest < 0.5).all()


class Structures(BayesianModel):
    """Γ one of three fixed functions, a categorical prior and guide; E log p in closed form."""

    def __init__(self, log_lik: Tensor) -> None:
        super().__init__()
        self.register_buffer("log_lik", log_lik)
        self.prior_logits = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.logits = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def prior_parameters(self) -> tuple[str, ...]:
        return ("prior_logits",)

    def structure_priors(self) -> dict[str, Any]:
        return {"gamma": dist.OneHotCategorical(logits=self.prior_logits)}

    def model(self, x: Tensor, y: Tensor | None = None) -> None:
        gamma: Any = pyro.sample("gamma", self.structure_priors()["gamma"])
        with pyro.plate("data", len(x)):
            # Of a distance d from zero N(0; d, 1) is exp(−d²/2), up to a constant.
            total = self.log_lik @ gamma.source.mean / len(x)
            pyro.sample("y", ExpectedNormal(x[:, 0], -2 * total, torch.ones_like(x[:, 0])), obs=y)

    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        pyro.sample("gamma", Deferred(dist.OneHotCategorical(logits=self.logits)))


LOG_LIK = torch.tensor([-3.0, -4.0, -5.0], dtype=torch.float64)


def structure_of(objective: GeneralisedObjective) -> list[float]:
    x = torch.zeros(4, 1, dtype=torch.float64)
    post = bn.fit(
        Structures(LOG_LIK), (x, x[:, 0]), objective=objective, steps=250, lr=0.2, batch_size=4,
        compile="trace", device="cpu", progress=False,
    )  # fmt: skip
    return post.model.prior_logits.softmax(-1).tolist()


def test_9_structure_weights_move_the_optimum_between_structures():
    """Without them the likeliest structure wins at all coefficients, and at any sample size."""
    coefficients = [(0.1, 1.0, 0.1), (10.0, 1.0, 10.0)]
    for lower, lik, upper in coefficients:
        assert int(np.argmax(structure_of(GeneralisedObjective(lower, lik, upper)))) == 0
    # Attracted: max_s E + λ(...) is a concave problem in s, solved on a grid of the simplex.
    others = [dist.OneHotCategorical(probs=torch.eye(3)[k] * 0.94 + 0.02) for k in range(3)]
    towards = GeneralisedObjective(structure_weights=[3.0], structure_priors=[others[2]])
    shares = structure_of(towards)
    assert int(np.argmax(shares)) == 2
    assert shares == pytest.approx(best_on_a_grid(3.0, others[2].probs), abs=0.02)
    # Repelled: without the first, the next likeliest.
    away = GeneralisedObjective(
        structure_weights=[-2.0, -1.0], structure_priors=[others[0], others[2]]
    )
    assert int(np.argmax(structure_of(away))) == 1


def best_on_a_grid(weight: float, other: Tensor) -> list[float]:
    """Argmax over s of max_π [Σ π_k E_k − KL(π ‖ s)] − λ KL(s ‖ p') = ln Σ s_k e^{E_k} − ..."""
    steps = torch.linspace(0.001, 0.998, 500, dtype=torch.float64)
    first, second = (v.flatten() for v in torch.meshgrid(steps, steps, indexing="ij"))
    s = torch.stack([first, second, 1 - first - second], dim=1)
    s = s[s[:, 2] > 1e-4]
    evidence = (s.log() + LOG_LIK).logsumexp(1)
    divergence = (s * (s.log() - other.double().log())).sum(1)
    return s[int((evidence - weight * divergence).argmax())].tolist()
