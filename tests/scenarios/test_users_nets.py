"""The user's network stays hers: frozen, tied, wrapped, of any class, saved and loaded."""

from __future__ import annotations

import json
import logging
import re

import pytest
import torch
import torchvision
from forged_runs import take_digests_away
from torch import nn

import bayesnas as bn
from bayesnas.nn.rebuilding.module_classes import register_module

FIT = {"steps": 3, "batch_size": 8, "progress": False, "device": "cpu"}
NETS = [bn.models.GaussianNet, bn.models.SpikeAndSlabNet, bn.models.BayesianCompressionNet]


def data(*shape, classes=2, n=16):
    x = torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))
    return x, torch.arange(n) % classes


def tokens(n=32):
    x = torch.randint(0, 12, (n, 3), generator=torch.Generator().manual_seed(0))
    return x, x[:, -1].clone()


class Recurrent(nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.hidden = hidden
        self.lstm = nn.LSTM(3, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 2)

    def forward(self, x):
        return self.out(self.lstm(x)[0][:, -1])


class Classifier(nn.Module):
    """A transformer encoder with a raw parameter."""

    def __init__(self, width=8, heads=2):
        super().__init__()
        self.width, self.heads = width, heads
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.embed = nn.Linear(4, width)
        layer = nn.TransformerEncoderLayer(width, heads, 16, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        tokens = torch.cat([self.token.expand(len(x), 1, self.width), self.embed(x)], 1)
        return self.head(self.encoder(tokens)[:, 0])


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.mix = nn.Embedding(12, 6), nn.Linear(6, 6)
        self.out = nn.Linear(6, 12, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, x):
        return self.out(torch.tanh(self.mix(self.embedding(x.long()).mean(1))))


class TiedByExpression(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4, bias=False)

    def forward(self, x):
        return torch.tanh(self.layer(x)) @ self.layer.weight


# Frozen parameters ----------------------------------------------------------------------------


def backbone_net():
    backbone = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU())
    return nn.Sequential(backbone, nn.Linear(5, 2))


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("frozen", ["0", "0.0", "0.0.weight", "0.1", "1.bias"])
def test_frozen_parameters_are_neither_drawn_nor_trained(kind, frozen):
    """Whatever is frozen, a block, a layer or a part of one; restarts among it."""
    net = backbone_net()
    kept = {n: p.detach().clone() for n, p in net.named_parameters() if n.startswith(frozen)}
    for name in kept:
        net.get_parameter(name).requires_grad_(False)
    post = bn.fit(kind(net), data(4), restarts=2, **FIT)
    assert kept
    for chain in (0, 1):
        plain = post.chain(chain).model.plain_module()
        for name, value in kept.items():
            assert torch.equal(plain.get_parameter(name), value)
            assert not plain.get_parameter(name).requires_grad
    assert not kept.keys() & set(post.model.layers.shapes)


def test_svi_leaves_frozen_parameters_alone():
    import pyro

    net = backbone_net()
    net[0].requires_grad_(False)
    before = net[0][0].weight.clone()
    model = bn.models.GaussianNet(net)
    pyro.clear_param_store()
    svi = pyro.infer.SVI(
        model.model, model.guide, pyro.optim.Adam({"lr": 0.1}), pyro.infer.Trace_ELBO()
    )
    for _ in range(3):
        svi.step(*data(4))
    pyro.clear_param_store()
    assert torch.equal(model.net[0][0].weight, before)
    assert not model.net[0][0].weight.requires_grad


def test_a_net_all_of_which_is_frozen_is_refused():
    with pytest.raises(ValueError, match="not frozen"):
        bn.models.GaussianNet(nn.Linear(2, 2).requires_grad_(False))


def test_the_log_says_what_is_drawn_anew_and_what_keeps_its_values(caplog):
    caplog.set_level(logging.INFO, "bayesnas")
    net = Classifier()
    net.embed.requires_grad_(False)
    bn.fit(bn.models.GaussianNet(net), data(5, 4), **FIT)
    line = caplog.records[0].getMessage()
    assert "drawn anew: encoder.layers.0.self_attn (216), " in line  # 3 · 8 (8 + 1)
    assert "starting at the values in net: token (8); frozen" in line
    assert "frozen: 40 numbers" in line


def test_weights_of_the_net_are_the_start_when_asked():
    net = backbone_net()
    model = bn.models.GaussianNet(net, initial_loc="net")
    model.reset()
    plain = model.plain_module()
    assert all(torch.equal(p, plain.get_parameter(n)) for n, p in net.named_parameters())


# Tied parameters ------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ["local", "weight"])
@pytest.mark.parametrize("kind", NETS)
def test_a_weight_shared_with_an_embedding_stays_one(kind, estimator):
    post = bn.fit(kind(Tied(), estimator=estimator), tokens(), **FIT)
    plain = post.model.plain_module()
    assert plain.out.weight is plain.embedding.weight
    assert sum(p.numel() for p in plain.parameters()) == 12 * 6 + 42
    first = "embedding" if kind is bn.models.GaussianNet else "out"  # of the layers that it takes
    assert set(post.model.layers.shapes) == {"mix.weight", "mix.bias", f"{first}.weight"}
    names = [n for n, _ in post.model.named_parameters() if "embedding" in n or "out" in n]
    assert names
    assert all(first in name for name in names)


@pytest.mark.slow
def test_two_layers_with_one_weight_see_one_draw():
    """f(x) = x W W for draws of W: for W ~ N(m, s²) of one number E f = (m² + s²) x."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    net[1].weight = net[0].weight
    model = bn.models.GaussianNet(net, likelihood="gaussian")
    model.variational.assign("0.weight.loc", torch.tensor([[0.5]]))
    model.variational.assign("0.weight.log_scale", torch.tensor([[1.0]]).log())
    x = torch.ones(1, 1)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        draws = []
        for _ in range(20000):
            weight = model.posterior("0.weight").rsample()
            draws.append(torch.func.functional_call(model.net, {"0.weight": weight}, (x,)))
    # Two independent draws would give .25; the standard error here is .012.
    assert torch.cat(draws).mean().item() == pytest.approx(1.25, abs=0.08)


def test_a_weight_read_again_by_an_expression_is_refused_under_local_reparameterisation():
    with pytest.raises(RuntimeError, match="estimator='weight'"):
        bn.fit(bn.models.GaussianNet(TiedByExpression()), data(4, classes=4), **FIT)
    bn.fit(bn.models.GaussianNet(TiedByExpression(), estimator="weight"), data(4, classes=4), **FIT)


# Modules of torch that wrap or compute --------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nn.utils.parametrizations.weight_norm(nn.Linear(4, 2)), "remove_parametrizations"),
        (nn.utils.parametrizations.spectral_norm(nn.Linear(4, 2)), "remove_parametrizations"),
        (nn.utils.prune.l1_unstructured(nn.Linear(4, 2), "weight", 2), "prune.remove"),
        (nn.utils.spectral_norm(nn.Linear(4, 2)), "remove_spectral_norm"),
        (nn.LazyLinear(2), "lazy .* run the net once"),
    ],
    ids=["weight_norm", "spectral_norm", "prune", "old spectral_norm", "lazy"],
)
@pytest.mark.parametrize("kind", NETS)
def test_weights_that_are_computed_are_refused_with_what_to_do(kind, net, message):
    with pytest.raises(ValueError, match=f"layer '0'.*{message}"):
        kind(nn.Sequential(net))


@pytest.mark.filterwarnings("ignore")
def test_scripted_and_old_weight_norm_are_refused_with_what_to_do():
    with pytest.raises(ValueError, match=r"torch\.jit\.script was called with"):
        bn.models.GaussianNet(torch.jit.script(nn.Sequential(nn.Linear(4, 2))))
    with pytest.raises(ValueError, match="remove_weight_norm"):
        bn.models.GaussianNet(nn.utils.weight_norm(nn.Linear(4, 2)))


def test_wrappers_are_taken_off():
    inner = nn.Sequential(nn.Linear(4, 2))
    for net in (nn.DataParallel(inner), torch.compile(inner), nn.Sequential(torch.compile(inner))):
        model = bn.models.GaussianNet(net)
        assert {name.removeprefix("0.0.") for name in model.layers.names} <= {"0", "0.0"}
        assert bn.fit(model, data(4), **FIT).predict(data(4)[0], 2).shape == (2, 16, 2)


class TwoOutputs(nn.Linear):
    def forward(self, x):
        return super().forward(x), x


class DictOutput(nn.Linear):
    def forward(self, x):
        return {"logits": super().forward(x)}


@pytest.mark.parametrize(
    ("net", "got"), [(TwoOutputs(4, 2), "a tuple of 2"), (DictOutput(4, 2), r"\['logits'\]")]
)
def test_other_outputs_than_one_tensor_are_refused(net, got):
    with pytest.raises(TypeError, match=f"net must return one tensor.*{got}"):
        bn.fit(bn.models.GaussianNet(net), data(4), **FIT)


def test_a_net_of_double_precision_says_what_it_needs():
    model = bn.models.GaussianNet(bn.nn.mlp([4, 2]).double(), likelihood="gaussian")
    with pytest.raises(
        ValueError, match=r"torch\.float64, but inputs x reach it as torch\.float32"
    ):
        model.check(torch.zeros(3, 4), torch.zeros(3, 2))
    x = torch.randn(6, 4).double()
    model.check(x, torch.zeros(6, 2))
    assert model.log_prior_scale.dtype == torch.float64
    with bn.runtime.pyro_context.pyro_session(bn.runtime.random_state.RandomStream(0, x.device)):
        assert model.model(x).dtype == torch.float64


# What has no posterior ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (bn.nn.mlp([4, 3]), "GaussianNet 4–3"),
        (Recurrent(), "GaussianNet Recurrent, 1,378 parameters"),
        (Classifier(), "1,194 of 1,266 .*; point estimates: token (8), 4 LayerNorm (64)"),
        (Tied(), "GaussianNet Tied, 114 parameters"),
        (nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 2)), "GaussianNet Sequential, 16"),
        (nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), "point estimates: 1 (4)"),
    ],
)
def test_describe_says_what_has_no_posterior(net, words):
    pattern = re.escape(words).replace(re.escape(".*"), ".*")
    assert re.search(pattern, bn.models.GaussianNet(net).describe())


@pytest.mark.parametrize(
    ("kind", "options"),
    [(bn.models.GaussianNet, {"stochastic": "out"}), (bn.models.BayesianCompressionNet, {})],
)
def test_the_first_line_of_a_fit_warns_of_it(caplog, kind, options):
    bn.fit(kind(Recurrent(), **options), data(5, 3), **FIT)
    first = caplog.records[0]
    assert first.levelname == "WARNING"
    assert "34 of 1,378 parameters have a posterior; point estimates: lstm" in first.getMessage()


def test_an_lstm_that_is_picked_has_a_posterior_that_matters():
    """Its outputs vary with the draw, and its gradients are not zero."""
    model = bn.models.GaussianNet(Recurrent(4), stochastic=[nn.LSTM, "out"], initial_scale=0.5)
    post = bn.fit(model, data(5, 3), **FIT)
    assert post.model.layers.names == ["lstm", "out"]
    model.reset()
    model.variational.assign("out.weight.log_scale", torch.full((2, 4), -20.0))
    model.variational.assign("out.bias.log_scale", torch.full((2,), -20.0))
    x = data(5, 3)[0]
    with bn.runtime.pyro_context.pyro_session(bn.runtime.random_state.RandomStream(0, x.device)):
        loss = bn.inference.elbo.bound.bound_terms(model, *data(5, 3)).expected_log_lik()
        loss.backward()
    assert model.variational["lstm.weight_hh_l0.loc"].grad.abs().sum() > 0


# stochastic= ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize(
    ("stochastic", "layers"),
    [
        ("1", ["1"]),
        ("0", ["0.0"]),
        (["0.0", "1"], ["0.0", "1"]),
        (nn.Linear, ["0.0", "1"]),
        ((nn.Linear,), ["0.0", "1"]),
        (lambda name, module: name == "1", ["1"]),
    ],
    ids=["layer", "block", "names", "type", "types", "rule"],
)
def test_layers_are_picked_by_names_types_and_rules_and_saved(kind, stochastic, layers, tmp_path):
    post = bn.fit(kind(backbone_net(), stochastic=stochastic), data(4), **FIT)
    assert post.model.layers.names == layers
    post.save(tmp_path / "run")
    assert bn.load(tmp_path / "run").model.layers.names == layers


@pytest.mark.parametrize(
    ("stochastic", "error", "message"),
    [
        ("laier", ValueError, "must name layers of net, got 'laier'; did you mean 'layer1'"),
        (nn.Conv2d, ValueError, "types of modules in net, got Conv2d"),
        (3, TypeError, "got 3"),
        ([], TypeError, r"got \[\]"),
        ([int], TypeError, "int"),
    ],
)
def test_other_words_for_layers_are_refused(stochastic, error, message):
    with pytest.raises(error, match=message):
        bn.models.GaussianNet(bn.nn.mlp([4, 2]), stochastic=stochastic)


# Export and files -----------------------------------------------------------------------------


def test_plain_and_compact_transformers_export():
    x, y = data(5, 4)
    post = bn.fit(bn.models.GaussianNet(Classifier()), (x, y), **FIT)
    for net in (post.model.plain_module().eval(), post.compact()):
        program = torch.export.export(net, (x,))
        assert torch.allclose(program.module()(x), net(x), atol=1e-5)


def new_head():
    net = torchvision.models.resnet18(num_classes=7)
    net.fc, net.conv1 = nn.Linear(512, 2), nn.Conv2d(1, 64, 3)
    return net


def nested():
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    return nn.Sequential(
        nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Flatten(), nn.Linear(20, 2)
    )


@register_module
class Registered(nn.Module):
    def __init__(self, width, *, inner):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(20, width))
        self.inner = inner

    def forward(self, x):
        return self.inner(self.body(x).relu())


SAVED = {
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=2), (3, 16, 16)),
    "resnet18 with another head": (new_head, (1, 16, 16)),
    "transformer": (lambda: Classifier(heads=4), (5, 4)),
    "recurrent": (lambda: Recurrent(5), (5, 3)),
    "encoder in a Sequential": (nested, (5, 4)),
    "registered": (lambda: Registered(6, inner=nn.Linear(6, 2)), (5, 4)),
    "frozen, double in part": (lambda: backbone_net().requires_grad_(True), (4,)),
}


@pytest.mark.slow_except(
    "resnet18",
    "transformer",
    "encoder in a Sequential",
    "frozen, double in part",
    "recurrent",
    "registered",
)
@pytest.mark.parametrize("kind", SAVED)
def test_a_saved_run_of_any_module_loads_without_the_model(kind, tmp_path):
    make, shape = SAVED[kind]
    x, y = data(*shape, n=8)
    post = bn.fit(bn.models.GaussianNet(make()), (x, y), **{**FIT, "steps": 1})
    post.save(tmp_path / "run")
    again = bn.load(tmp_path / "run")
    assert torch.equal(again.predict(x, 2), post.predict(x, 2))
    assert repr(again.model.plain_module()) == repr(post.model.plain_module())


def test_a_tied_module_of_a_users_own_loads(tmp_path):
    post = bn.fit(bn.models.GaussianNet(Tied()), tokens(), **FIT)
    post.save(tmp_path / "run")
    again = bn.load(tmp_path / "run").model.plain_module()
    assert again.out.weight is again.embedding.weight


class Forgetful(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(4, width)

    def forward(self, x):
        return self.layer(x)


class Scaled(nn.Module):
    """Its second argument is kept under another name, and its default is not what was given."""

    def __init__(self, width=2, act="tanh"):
        super().__init__()
        self.layer = nn.Linear(4, width)
        self.function = torch.tanh if act == "tanh" else torch.relu

    def forward(self, x):
        return self.function(self.layer(x))


class Noisy(nn.Module):
    """A tensor that no state_dict holds and no argument decides."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.shift = torch.randn(2)

    def forward(self, x):
        return self.layer(x) + self.shift


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Forgetful(2), "its argument 'width' is not kept: set self.width = width"),
        (Scaled(act="relu"), "its 'function' would come back different"),
        (Noisy(), "its 'shift', which no state_dict holds, is another"),
        (type("Local", (Forgetful,), {})(2), "can't be imported"),
    ],
)
def test_what_cannot_be_rebuilt_says_why_on_loading(net, message, tmp_path):
    post = bn.fit(bn.models.GaussianNet(net), data(4), **FIT)
    post.save(tmp_path / "run")
    with pytest.raises(ValueError, match=message):
        bn.load(tmp_path / "run")
    again = bn.load(tmp_path / "run", model=bn.models.GaussianNet(net))
    assert torch.equal(again.predict(data(4)[0], 2), post.predict(data(4)[0], 2))


# Hostile runs ---------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    bn.fit(bn.models.GaussianNet(Recurrent(5)), data(5, 3), **FIT).save(tmp_path / "run")
    return tmp_path / "run"


def tampered(run, **changes):
    content = json.loads((run / "run.json").read_text())
    content["model"]["config"]["net"] |= changes
    (run / "run.json").write_text(json.dumps(content))
    take_digests_away(run)


@pytest.mark.parametrize(
    "path",
    [
        "os:system",
        "subprocess:Popen",
        "builtins:eval",
        "torch.jit:ScriptModule",
        "torch.utils.data:DataLoader",
        "no_such_module_anywhere:Net",
        "pathlib:Path",
        "tests:Recurrent",
        "torch.nn.modules.linear:Linear.__init__",
        "a:b:c",
        17,
    ],
)
def test_a_tampered_class_is_not_made(run, path):
    tampered(run, **{"class": path})
    with pytest.raises(ValueError, match="run.json"):
        bn.load(run)


def test_no_module_is_imported_unless_it_is_trusted(run, tmp_path, monkeypatch):
    marker = tmp_path / "imported"
    (tmp_path / "a_users_net.py").write_text(
        f"open({str(marker)!r}, 'w').close()\n"
        "from torch import nn\n"
        "class Recurrent(nn.Module):\n"
        "    def __init__(self, hidden=16):\n"
        "        super().__init__()\n"
        "        self.hidden = hidden\n"
        "        self.lstm = nn.LSTM(3, hidden, batch_first=True)\n"
        "        self.out = nn.Linear(hidden, 2)\n"
        "    def forward(self, x):\n"
        "        return self.out(self.lstm(x)[0][:, -1])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    tampered(run, **{"class": "a_users_net:Recurrent"})
    with pytest.raises(
        ValueError, match=r"import it before bn.load, or pass trust=\['a_users_net'\]"
    ):
        bn.load(run)
    assert not marker.exists()
    assert bn.load(run, trust=["a_users_net"]).model.layers.names == ["lstm", "out"]


def test_weights_of_torchvision_are_never_fetched(tmp_path):
    net = torchvision.models.resnet18(num_classes=2)
    spec = bn.nn.graphs.net_spec.describe_net(net)
    with pytest.raises(ValueError, match="num_classes alone"):
        bn.nn.graphs.net_spec.build_net({**spec, "arguments": {"weights": "DEFAULT"}})
    with pytest.raises(ValueError, match="must be a model of torchvision"):
        bn.nn.graphs.net_spec.build_net({**spec, "builder": "get_model"})


@pytest.mark.parametrize("compiled", [False, "trace"])
@pytest.mark.parametrize("kl_weight", [1.0, bn.LogUniform(0.1, 10)], ids=["one", "range"])
def test_a_layer_used_twice_is_one_and_loads(tmp_path, kl_weight, compiled):
    layer = nn.Linear(4, 4)
    net = nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(4, 2))
    model = bn.models.GaussianNet(net, estimator="weight")
    pair = data(4)

    post = bn.fit(model, pair, kl_weight=kl_weight, compile=compiled, **FIT)

    post.save(tmp_path / "run")
    loaded = bn.load(tmp_path / "run")
    if kl_weight != 1.0:
        post, loaded = post.at(0.1), loaded.at(0.1)
    assert post.complexity()["parameters"] == 4 * 5 + 2 * 5
    assert loaded.evaluate(pair, draws=2) == post.evaluate(pair, draws=2)
    small = post.compact()
    assert small[0] is small[2]


@pytest.mark.parametrize("compiled", [False, "trace"])
def test_an_operation_that_stands_on_two_edges_is_trained_once(compiled):
    """Torch's own functional_call left the values of a traced step in such a layer."""
    shared = {"linear": nn.Linear(4, 4), "skip": nn.Identity()}
    edges = {("x", "a"): shared, ("a", "b"): shared, ("b", "y"): nn.Linear(4, 2)}
    graph = bn.nn.Graph(edges, example=torch.zeros(1, 4))
    model = bn.models.LatentStructureNet(graph, weights="point")
    weights = bn.LogUniform(0.1, 10)

    post = bn.fit(model, data(4), kl_weight=weights, compile=compiled, **(FIT | {"steps": 40}))

    assert len(list(post.model.graph.parameters())) == 4
    assert all(type(p) is nn.Parameter for p in post.model.graph.parameters())
