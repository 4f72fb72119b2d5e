"""Posteriors on layers other than linear ones: embeddings, recurrent, attention, convolutions."""

from __future__ import annotations

import copy
import json
import logging

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.nn.functional_call import functional_call
from bayesnas.nn.lazy.gaussian_tensor import GaussianTensor
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream

pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
    # torch-pruning can't follow a recurrent layer, which stays as large as it was.
    pytest.mark.filterwarnings("ignore:Maximum recursive depth"),
]
FIT = {"epochs": 3, "batch_size": 8, "progress": False, "device": "cpu"}


class Taken(nn.Module):
    """The mean along time of what a recurrent layer gives, and a linear layer on it."""

    def __init__(self, layer, features):
        super().__init__()
        self.layer, self.out = layer, nn.Linear(features, 3)

    def forward(self, x):
        return self.out(self.layer(x)[0].mean(1))


class Attention(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.heads = nn.MultiheadAttention(4, 2, batch_first=True, **options)
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.heads(x, x, x, need_weights=False)[0].mean(1))


class Cells(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell, self.out = cell, nn.Linear(5, 3)

    def forward(self, x):
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.out(state[0] if isinstance(state, tuple) else state)


def flat(layers, features):
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 3))


SEQUENCE, IMAGE, TOKENS = (6, 4), (4, 5, 5), "tokens"
NETS = {
    "lstm": (lambda: Taken(nn.LSTM(4, 5, 2, batch_first=True, bidirectional=True), 10), SEQUENCE),
    "lstm projected": (lambda: Taken(nn.LSTM(4, 5, batch_first=True, proj_size=3), 3), SEQUENCE),
    "gru": (lambda: Taken(nn.GRU(4, 5, batch_first=True), 5), SEQUENCE),
    "rnn": (lambda: Taken(nn.RNN(4, 5, batch_first=True), 5), SEQUENCE),
    "lstm cell": (lambda: Cells(nn.LSTMCell(4, 5)), SEQUENCE),
    "attention": (Attention, SEQUENCE),
    "attention with biases": (lambda: Attention(add_bias_kv=True, kdim=4, vdim=4), SEQUENCE),
    "embedding": (lambda: flat([nn.Embedding(9, 2)], 12), TOKENS),
    "embedding bag": (lambda: nn.Sequential(nn.EmbeddingBag(9, 4), nn.Linear(4, 3)), TOKENS),
    "transposed": (lambda: flat([nn.ConvTranspose2d(4, 2, 3)], 98), IMAGE),
    "grouped": (lambda: flat([nn.Conv2d(4, 4, 3, groups=2)], 36), IMAGE),
    "depthwise": (lambda: flat([nn.Conv2d(4, 8, 3, groups=4)], 72), IMAGE),
    "grouped transposed": (lambda: flat([nn.ConvTranspose2d(4, 4, 3, groups=2)], 196), IMAGE),
}


def rows(shape, n=16):
    generator = torch.Generator().manual_seed(0)
    if shape == TOKENS:
        return torch.randint(0, 9, (n, 6), generator=generator), torch.arange(n) % 3
    return torch.randn(n, *shape, generator=generator), torch.arange(n) % 3


@pytest.mark.parametrize("name", NETS)
def test_every_weight_has_a_posterior_and_a_gradient(name):
    """Of means and of scales, which only a weight that is really drawn has."""
    make, shape = NETS[name]
    net = make()
    model = bn.models.GaussianNet(net, initial_scale=0.3)
    assert set(model.layers.shapes) == {leaf for leaf, _ in net.named_parameters()}
    x, y = rows(shape)
    with pyro_session(RandomStream(0, y.device)):
        model.reset()
        terms = bound_terms(model, x, y)
    terms.expected_log_lik().backward()
    for leaf, value in model.variational.named_parameters():
        # The keys of one softmax are only known up to an offset.
        if "in_proj_bias" not in leaf and "bias_k" not in leaf:
            assert value.grad.abs().sum() > 0, leaf


@pytest.mark.slow_except("lstm", "attention")
@pytest.mark.parametrize("name", NETS)
def test_recorded_steps_are_the_eager_ones_and_a_run_loads(name, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "bayesnas")
    make, shape = NETS[name]
    model, data = bn.models.GaussianNet(make()), rows(shape)
    eager = bn.fit(model, data, compile=False, **FIT)
    traced = bn.fit(model, data, compile="trace", **FIT)
    assert not [r for r in caplog.records if "eager mode" in r.getMessage()]
    for ours, theirs in zip(
        eager.model.weight_posteriors().values(),
        traced.model.weight_posteriors().values(),
        strict=True,
    ):
        assert torch.allclose(ours[0], theirs[0], atol=1e-3)
    smaller = eager.prune(fraction=0.4)
    kept = sum(int(mask.sum()) for mask in smaller.model.keep_masks().values())
    assert kept == pytest.approx(0.6 * sum(p.numel() for p in make().parameters()), abs=1)
    assert torch.isfinite(smaller.compact()(data[0])).all()
    assert set(eager.to_arviz(2)["posterior"].data_vars) == set(eager.model.layers.shapes)
    if shape != TOKENS or name == "embedding":
        eager.save(tmp_path / "run")
        loaded = bn.load(tmp_path / "run", model=model)
        assert torch.equal(loaded.predict(data[0], draws=2), eager.predict(data[0], draws=2))


@pytest.mark.parametrize("name", ["transposed", "grouped", "depthwise", "grouped transposed"])
def test_local_reparameterisation_has_the_moments_of_drawn_weights(name):
    """Outputs at one place: mean and variance of 20,000 drawn kernels, to 5.5 standard errors."""
    make, shape = NETS[name]
    torch.manual_seed(0)
    layer, x = make()[0], rows(shape)[0][:1]
    loc, scale = layer.weight.detach(), torch.full_like(layer.weight, 0.3)
    count = 20_000
    with torch.no_grad():
        bare = copy.deepcopy(layer)
        bare.bias.zero_()
        whole = {"weight": loc, "bias": bare.bias}
        mean = torch.func.functional_call(bare, whole, (x,))[0, :, 2, 2]
        # The variance is exact: of a sum of independent terms.
        squares = {"weight": scale.square(), "bias": bare.bias}
        variance = torch.func.functional_call(bare, squares, (x.square(),))[0, :, 2, 2]
        drawn = {"weight": GaussianTensor(loc, scale), "bias": bare.bias}
        local = torch.func.functional_call(bare, drawn, (x.expand(count, -1, -1, -1),))
    centre = local[:, :, 2, 2]
    assert ((centre.mean(0) - mean).abs() < 5.5 * (variance / count).sqrt()).all()
    assert ((centre.var(0) / variance - 1).abs() < 5.5 * (2 / count) ** 0.5).all()
    weights = torch.randn(200, *loc.shape) * scale + loc
    outputs = torch.stack(
        [
            torch.func.functional_call(bare, {"weight": w, "bias": bare.bias}, (x,))[0, :, 2, 2]
            for w in weights
        ]
    )
    assert ((outputs.mean(0) - mean).abs() < 5.5 * (variance / 200).sqrt()).all()


def test_one_draw_of_a_recurrent_weight_serves_all_times_and_rows():
    """With a state of h' = w h, three steps multiply by w³: E w³ = m³ + 3 m s², not m³."""

    class Cubed(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.RNN(1, 1, bias=False, batch_first=True, nonlinearity="relu")

        def forward(self, x):
            return self.rnn(x)[0][:, -1]

    model = bn.models.GaussianNet(Cubed(), likelihood="gaussian")
    values = {"rnn.weight_ih_l0": (1.0, 1e-6), "rnn.weight_hh_l0": (1.0, 0.2)}
    for site, (loc, scale) in values.items():
        model.variational.assign(f"{site}.loc", torch.full((1, 1), loc))
        model.variational.assign(f"{site}.log_scale", torch.full((1, 1), scale).log())
    x = torch.tensor([1.0, 0.0, 0.0, 0.0])[None, :, None].expand(2, -1, -1)
    draws = []
    with torch.no_grad():
        for _ in range(1500):
            weights = {site: model.posterior(site).rsample() for site in values}
            draws.append(functional_call(model.net, weights, (x,))[:, 0])
    outputs = torch.stack(draws)
    assert torch.equal(outputs[:, 0], outputs[:, 1])
    # Var w³ for w ~ N(1, .2²): E w⁶ − (E w³)² = 1.673 − 1.12² = 0.42.
    assert outputs[:, 0].mean().item() == pytest.approx(1.12, abs=5.5 * (0.42 / 1500) ** 0.5)


def test_padding_stays_zero():
    net = nn.Sequential(nn.Embedding(9, 2, padding_idx=3), nn.Flatten(), nn.Linear(12, 3))
    post = bn.fit(bn.models.GaussianNet(net, initial_scale=0.5), rows(TOKENS), **FIT)
    drawn = post.sample(draws=5)["0.weight"]
    assert torch.equal(drawn[:, 3], torch.zeros(5, 2))
    assert (drawn[:, 2].abs() > 0).all()
    assert post.complexity()["parameters_kept"] == 9 * 2 - 2 + 39
    assert int(post.prune(fraction=0.5).model.keep_masks()["0.weight"][3].sum()) == 0


def test_affine_parameters_of_norms_have_one_by_choice():
    net = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.ReLU(), nn.Linear(5, 3))
    assert "point estimates: 1 (10)" in bn.models.GaussianNet(net).describe()
    model = bn.models.GaussianNet(net, stochastic=[nn.Linear, nn.LayerNorm])
    post = bn.fit(model, rows((4,)), compile="trace", **FIT)
    assert set(post.sample(2)) >= {"1.weight", "1.bias"}
    # A scale starts at the 1 that its layer begins with.
    assert torch.allclose(post.model.weight_posteriors()["1.weight"][0], torch.ones(5), atol=0.3)


def test_attention_starts_anew_with_every_chain():
    post = bn.fit(bn.models.GaussianNet(Attention()), rows(SEQUENCE), restarts=2, lr=1e-6, **FIT)
    first, second = (post.chain(c).model.weight_posteriors() for c in (0, 1))
    for site in ("heads.in_proj_weight", "heads.out_proj.weight"):
        assert not torch.allclose(first[site][0], second[site][0], atol=1e-3)
    bound = (6 / (12 + 4)) ** 0.5  # of Xavier, uniform
    assert 0.7 * bound < first["heads.in_proj_weight"][0].abs().max() <= bound + 1e-3


def test_a_run_from_when_only_linear_layers_had_one_loads(tmp_path, edit):
    """Such a run says nothing of ``stochastic``."""
    net = flat([nn.Embedding(9, 2)], 12)
    model = bn.models.GaussianNet(net, stochastic=bn.nn.is_linear_or_convolution)
    bn.fit(model, rows(TOKENS), **FIT).save(tmp_path / "run")
    content = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "stochastic" not in content["model"]["config"]
    assert bn.load(tmp_path / "run").model.layers.names == ["2"]
    bn.fit(bn.models.GaussianNet(net), rows(TOKENS), **FIT).save(tmp_path / "now")
    assert bn.load(tmp_path / "now").model.layers.names == ["0", "2"]
