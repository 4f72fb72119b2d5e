"""Networks of single neurons: by hand, by NumPy, saved, with a posterior."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import bayesnas as bn
from bayesnas.nn import NeuronNet
from bayesnas.nn.grown.activations import ACTIVATIONS

BY_NUMPY = {
    "linear": lambda x: x,
    "step": lambda x: np.heaviside(x, 0.0),
    "sin": lambda x: np.sin(np.pi * x),
    "cosine": lambda x: np.cos(np.pi * x),
    "gaussian": lambda x: np.exp(-(x**2) / 2),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "absolute": np.abs,
    "inverted": lambda x: -x,
    "relu": lambda x: np.maximum(x, 0),
}


def test_there_are_ten_activations_and_each_is_its_formula():
    x = torch.linspace(-3, 3, 61, dtype=torch.float64)
    assert set(ACTIVATIONS) == set(BY_NUMPY)
    for name, function in ACTIVATIONS.items():
        assert np.allclose(function(x).numpy(), BY_NUMPY[name](x.numpy())), name


def test_a_network_by_hand():
    # 5 reads both inputs, 6 reads 5 and the bias, the outputs are 3 and 4.
    net = NeuronNet(2, 2, ["tanh", "sin"], [(0, 5), (1, 5), (5, 6), (2, 6), (6, 3), (0, 4)])
    weights = dict(zip(net.graph.connections, (0.5, -1.5, 2.0, 0.25, -1.0, 3.0), strict=True))
    with torch.no_grad():
        net.weight.copy_(torch.tensor(list(weights.values()))[:, None])
    fifth = math.tanh(weights[0, 5] * 0.3 + weights[1, 5] * -0.7)
    sixth = math.sin(math.pi * (weights[5, 6] * fifth + weights[2, 6]))
    expected = [weights[6, 3] * sixth, weights[0, 4] * 0.3]
    assert net(torch.tensor([[0.3, -0.7]]))[0].tolist() == pytest.approx(expected, rel=1e-5)


def test_a_neuron_that_reads_nothing_is_its_activation_of_zero():
    assert NeuronNet(1, 2, ["cosine"], [(4, 2)])(torch.ones(1, 1)).tolist() == [[1.0, 0.0]]


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    net = NeuronNet(2, 1, ["tanh", "gaussian"], [(0, 4), (1, 4), (4, 5), (2, 5), (5, 3), (1, 3)])
    net.double()
    x = torch.randn(3, 2, dtype=torch.float64)

    def output(weight):
        return torch.func.functional_call(net, {"weight": weight}, (x,))

    assert torch.autograd.gradcheck(output, (net.weight.detach().requires_grad_(),))


def test_inputs_of_another_width_are_refused():
    with pytest.raises(ValueError, match="2 numbers a row, got 3"):
        NeuronNet(2, 1, [], [(0, 3)])(torch.zeros(1, 3))


def test_a_file_gives_the_network_back(tmp_path):
    net = NeuronNet(2, 1, ["relu"], [(0, 4), (4, 3)], weight=-0.5)
    bn.nn.save_net(net, tmp_path / "net.safetensors")
    loaded = bn.nn.load_net(tmp_path / "net.safetensors")
    assert loaded.graph == net.graph
    assert torch.equal(loaded.weight, net.weight)


def test_every_connection_can_have_a_posterior(xy, tmp_path):
    net = NeuronNet(4, 3, ["tanh"], [(0, 8), (1, 8), (8, 5), (1, 6), (2, 7)])
    model = bn.models.GaussianNet(net, stochastic=NeuronNet)
    post = bn.fit(model, xy, steps=6, progress=False)
    post.save(tmp_path / "run")
    x = xy[0]
    assert torch.equal(bn.load(tmp_path / "run").predict(x, draws=2), post.predict(x, draws=2))
