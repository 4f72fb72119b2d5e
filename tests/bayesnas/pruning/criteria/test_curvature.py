"""Curvatures against derivatives that torch.autograd takes of the whole loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call

import bayesnas as bn
from bayesnas.likelihoods import make_likelihood
from bayesnas.pruning.criteria.curvature import SampleLoss, curvature_diagonal, curvature_matrix
from bayesnas.pruning.criteria.registry import RULES
from bayesnas.pruning.criteria.subject import Subject


def loss_of(net, likelihood, y, inputs=(5,), penalty=None):
    x = torch.randn(len(y), *inputs, dtype=torch.float64)
    return SampleLoss(net.double(), make_likelihood(likelihood), x, y, penalty or {})


@pytest.fixture
def softmax_regression():
    """Four classes by the signs of two inputs."""
    torch.manual_seed(0)
    penalty = {"weight": torch.tensor(0.3)}
    loss = loss_of(nn.Linear(5, 4), "categorical", torch.zeros(30).long(), penalty=penalty)
    return replace(loss, y=(loss.x[:, 0] > 0) + 2 * (loss.x[:, 1] > 0))


@pytest.fixture
def hidden_layer():
    torch.manual_seed(1)
    return loss_of(bn.nn.mlp([5, 4, 3]), "categorical", torch.randint(0, 3, (12,)))


def total(loss, values):
    """The loss as a function of all parameters, flat."""
    shapes = {name: p.shape for name, p in loss.net.named_parameters()}
    pieces = values.split([shape.numel() for shape in shapes.values()])
    named = {n: v.reshape(s) for (n, s), v in zip(shapes.items(), pieces, strict=True)}
    output = functional_call(loss.net, named, (loss.x,))
    log_lik = loss.likelihood(output).log_prob(loss.likelihood.observed(loss.y, output))
    penalty = sum(0.5 * a * named[name].square().sum() for name, a in loss.penalty.items())
    return penalty - log_lik.mean()


def flat(values):
    return torch.cat([value.detach().flatten() for value in values])


def names(loss):
    return [name for name, _ in loss.net.named_parameters()]


def outputs(loss):
    """f of all parameters, flat, and its Jacobian ``[n, outputs, weights]``."""
    weights = flat(loss.net.parameters())
    shapes = {name: p.shape for name, p in loss.net.named_parameters()}

    def run(values):
        pieces = values.split([shape.numel() for shape in shapes.values()])
        named = {n: v.reshape(s) for (n, s), v in zip(shapes.items(), pieces, strict=True)}
        return functional_call(loss.net, named, (loss.x,)).flatten(1)

    return run(weights), jacobian(run, weights)


def test_gauss_newton_of_softmax_regression_is_its_hessian(softmax_regression):
    loss = softmax_regression
    weights = flat(loss.net.parameters())
    exact = hessian(lambda values: total(loss, values), weights)
    torch.testing.assert_close(curvature_matrix(loss, names(loss)), exact, rtol=0, atol=1e-12)
    diagonal = flat(curvature_diagonal(loss, names(loss)).values())
    torch.testing.assert_close(diagonal, exact.diagonal(), rtol=0, atol=1e-12)


def test_the_saliency_of_optimal_brain_damage_is_the_change_of_the_loss(softmax_regression):
    """At a minimum, to second order: the change when a share t of a weight goes is t² times it."""
    loss = softmax_regression
    parameters = list(loss.net.parameters())
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=500, tolerance_grad=1e-13, tolerance_change=0, history_size=50,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        optimizer.zero_grad()
        penalty = 0.15 * loss.net.weight.square().sum()
        value = nn.functional.cross_entropy(loss.net(loss.x), loss.y) + penalty
        value.backward()
        return value

    optimizer.step(closure)
    everything = {n: torch.ones_like(p).bool() for n, p in loss.net.named_parameters()}
    locs = {n: p.detach() for n, p in loss.net.named_parameters()}
    saliency = -flat(RULES["obd"].scores(Subject(locs, everything, loss=loss)).values())
    weights, start = flat(parameters), total(loss, flat(parameters))
    share = 1e-3
    for index in range(20):  # biases have no penalty and, all together, no curvature
        moved = [weights.clone() for _ in range(2)]
        moved[0][index] *= 1 - share
        moved[1][index] *= 1 + share
        change = (total(loss, moved[0]) + total(loss, moved[1]) - 2 * start) / (2 * share**2)
        assert abs(float(change - saliency[index])) < 1e-6
        first = (total(loss, moved[0]) - start) / share**2  # the gradient is 0
        assert float(first) == pytest.approx(float(saliency[index]), rel=2e-3, abs=1e-6)
    assert float(saliency[:20].max()) > 1e-3


def test_gauss_newton_of_a_hidden_layer_by_its_jacobian(hidden_layer):
    loss = hidden_layer
    output, jacobians = outputs(loss)
    p = output.softmax(-1)
    inner = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    expected = torch.einsum("nci,ncd,ndj->ij", jacobians, inner, jacobians) / len(p)
    torch.testing.assert_close(curvature_matrix(loss, names(loss)), expected, rtol=0, atol=1e-12)
    diagonal = flat(curvature_diagonal(loss, names(loss)).values())
    torch.testing.assert_close(diagonal, expected.diagonal(), rtol=0, atol=1e-12)


def test_the_empirical_fisher_by_its_gradients(hidden_layer):
    loss = hidden_layer
    output, jacobians = outputs(loss)
    residual = output.softmax(-1) - nn.functional.one_hot(loss.y, 3)
    gradients = torch.einsum("nc,nci->ni", residual, jacobians)
    fisher = flat(curvature_diagonal(loss, names(loss), "fisher").values())
    torch.testing.assert_close(fisher, gradients.square().mean(0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("likelihood", ["gaussian", "poisson", "bernoulli"])
def test_gauss_newton_of_a_linear_model_is_its_hessian(likelihood):
    torch.manual_seed(2)
    y = torch.randint(0, 2, (11,)).double()
    loss = loss_of(nn.Linear(5, 1), likelihood, y)
    exact = hessian(lambda values: total(loss, values), flat(loss.net.parameters()))
    torch.testing.assert_close(curvature_matrix(loss, names(loss)), exact, rtol=0, atol=1e-10)


def test_rows_taken_in_pieces_add_up(hidden_layer, monkeypatch):
    whole = curvature_diagonal(hidden_layer, names(hidden_layer))
    monkeypatch.setattr("bayesnas.pruning.criteria.curvature._MOST_NUMBERS", 100)
    pieces = curvature_diagonal(hidden_layer, names(hidden_layer))
    torch.testing.assert_close(whole, pieces)


def test_a_convolution_in_training_mode_stays_in_it():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8, 3)
    ).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    loss = loss_of(net, "categorical", torch.tensor([0, 1, 2]), inputs=(1, 4, 4))
    again = curvature_diagonal(loss, ["0.weight", "4.weight"])
    torch.testing.assert_close(again, curvature_diagonal(loss, ["0.weight", "4.weight"]))
    assert net.training
    assert net[2].training
    torch.testing.assert_close(
        {n: v.double() for n, v in net.state_dict().items()},
        {n: v.double() for n, v in before.items()},
    )


@pytest.mark.parametrize("kind", ["ggn", "fisher"])
def test_what_vmap_does_not_follow_is_taken_row_by_row(kind, hidden_layer, monkeypatch, caplog):
    def fails(*_):
        raise RuntimeError("no batching rule")

    mapped = curvature_diagonal(hidden_layer, names(hidden_layer), kind)
    monkeypatch.setattr("bayesnas.pruning.criteria.curvature._by_vmap", fails)
    with caplog.at_level("INFO", "bayesnas"):
        by_row = curvature_diagonal(hidden_layer, names(hidden_layer), kind)
    torch.testing.assert_close(by_row, mapped)
    assert "row by row, since vmap fails: no batching rule" in caplog.text


class LastState(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.out = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.lstm(x)[0][:, -1])


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch's, of vmap
def test_a_recurrent_network_by_its_gradients():
    torch.manual_seed(0)
    loss = loss_of(LastState(), "categorical", torch.arange(6) % 2, inputs=(5, 3))
    expected = torch.zeros(16, 4).double()
    for x, y in zip(loss.x.split(1), loss.y.split(1), strict=True):
        loss.net.zero_grad()
        nn.functional.cross_entropy(loss.net(x), y).backward()
        expected += loss.net.lstm.weight_hh_l0.grad.square() / 6
    fisher = curvature_diagonal(loss, ["lstm.weight_hh_l0"], "fisher")["lstm.weight_hh_l0"]
    torch.testing.assert_close(fisher, expected)
    assert not fisher.requires_grad
