"""Nets with several inputs: the numbers of the net that is given all of them in one tensor."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import bayesnas as bn

FIT = {"epochs": 3, "batch_size": 8, "lr": 0.02, "progress": False, "device": "cpu"}


class Joined(nn.Module):
    """Takes tokens, mask and numbers as columns of one tensor."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.out = nn.Embedding(7, 3), nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.outputs(x[:, :2].long(), x[:, 2:4] > 0, x[:, 4:])

    def outputs(self, tokens, mask, numbers):
        words = (self.embed(tokens) * mask[..., None]).sum(1)
        return self.out(torch.tanh(self.mix(torch.cat([words, numbers], 1))))


class Apart(Joined):
    def forward(self, tokens, mask, numbers):
        assert (tokens.dtype, mask.dtype) == (torch.int64, torch.bool)
        return self.outputs(tokens, mask, numbers)


@pytest.fixture(scope="module")
def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "tokens": torch.randint(0, 7, (27, 2), generator=generator),
        "mask": torch.rand(27, 2, generator=generator) > 0.3,
        "numbers": torch.randn(27, 1, generator=generator),
    }


@pytest.fixture(scope="module")
def joined(tensors):
    return torch.cat([value.float() for value in tensors.values()], 1)


@pytest.fixture(scope="module")
def y():
    return torch.arange(27) % 3


def models(kind=bn.models.GaussianNet, **options):
    torch.manual_seed(3)
    net = Joined()
    apart = Apart()
    apart.load_state_dict(net.state_dict())
    return kind(net, **options), kind(apart, **options)


def forms(tensors, y):
    rows = [
        ({name: value[row] for name, value in tensors.items()}, int(y[row]))
        for row in range(len(y))
    ]
    return {
        "dict": (tensors, y),
        "tuple": (tuple(tensors.values()), y),
        "arrays": ({name: value.numpy() for name, value in tensors.items()}, y.numpy()),
        "inputs": (bn.data.Inputs(tensors), y),
        "split": bn.data.Split.of((bn.data.Inputs(tensors), y)),
        "data set": bn.data.from_dataset(rows, classes=3),
        "streamed": bn.data.from_dataset((tensors, y)),
    }


@pytest.mark.slow_except("dict", "data set")
@pytest.mark.parametrize(
    "form", ["dict", "tuple", "arrays", "inputs", "split", "data set", "streamed"]
)
def test_however_they_come_the_numbers_are_the_same(tensors, joined, y, numbers, form):
    one, several = models()
    data = forms(tensors, y)[form]
    post = bn.fit(several, data, **FIT)
    assert numbers(bn.fit(one, (joined, y), **FIT)) == numbers(post)
    assert {
        name: leaf.dtype for name, leaf in zip(tensors, post.example[0].leaves, strict=True)
    } == {name: value.dtype for name, value in tensors.items()}


@pytest.mark.slow_except("traced")
@pytest.mark.parametrize(
    "options",
    [
        {"compile": "trace"},
        {"restarts": 2, "batched": True},
        {"kl_weight": bn.LogUniform(0.1, 10.0)},
        {"sample_weight": torch.arange(27.0)},
    ],
    ids=["traced", "batched", "amortised", "weighted"],
)
def test_every_way_of_fitting_takes_them(tensors, joined, y, numbers, options):
    options = FIT | options
    one, several = models()
    whole = bn.fit(one, (joined, y), validation=(joined, y), **options)
    assert numbers(whole) == numbers(
        bn.fit(several, (tensors, y), validation=(tensors, y), **options)
    )


@pytest.mark.slow_except("BayesianCompressionNet")
@pytest.mark.parametrize("kind", [bn.models.GaussianNet, bn.models.BayesianCompressionNet])
def test_every_method_takes_them(tensors, joined, y, tmp_path, kind):
    one, several = models(kind)
    here, there = bn.fit(one, (joined, y), **FIT), bn.fit(several, (tensors, y), **FIT)
    assert here.evaluate((joined, y)) == there.evaluate((tensors, y))
    assert torch.equal(here.predict(joined, draws=3), there.predict(tensors, draws=3))
    assert here.pruning_curve((joined, y)).identical(there.pruning_curve((tensors, y)))
    smaller = [
        post.prune(validation=data) for post, data in ((here, (joined, y)), (there, (tensors, y)))
    ]
    assert smaller[0].complexity() == smaller[1].complexity()
    removal = {"by": "group"} if kind is bn.models.BayesianCompressionNet else {}
    masks = there.model.keep_masks()
    masks["out.weight"][:, 1:] = False  # a unit that nothing reads is what compact takes away
    there.model.set_keep_masks(masks)
    small = there.prune(fraction=0.15, **removal)
    module, plain = small.compact(), small.model.plain_module().eval()
    assert torch.allclose(module(**tensors), plain(**tensors), atol=1e-5)
    assert module.mix.out_features < plain.mix.out_features
    other_order = dict(reversed(tensors.items()))
    assert torch.equal(there.predict(other_order, draws=2), there.predict(tensors, draws=2))
    there.save(tmp_path / "run")
    loaded = bn.load(tmp_path / "run", model=several)
    assert loaded.example[0].names == ("tokens", "mask", "numbers")
    assert torch.equal(loaded.predict(tensors, draws=3), there.predict(tensors, draws=3))
    constant = there.to_arviz(2, (tensors, y))["constant_data"]
    assert set(constant.data_vars) == {"tokens", "mask", "numbers"}
    assert constant["mask"].dtype == bool


def test_arrays_are_split_together(tensors, y):
    data = bn.data.from_arrays(tensors, y, test=0.3, validation=0.2)
    whole = sum(len(part) for part in (data.train, data.validation, data.test))
    assert whole == 27
    numbers = data.test.x.tensors["numbers"]
    rows = (tensors["numbers"] == numbers.T).nonzero()[:, 0]  # both in the order of the data
    for name, value in tensors.items():
        assert torch.equal(value[rows], data.test.x.tensors[name])
        assert value.dtype == data.test.x.tensors[name].dtype


def test_tokens_alone_keep_their_type_where_it_is_asked_for(tensors, y):
    tokens = tensors["tokens"]
    assert bn.data.from_arrays(tokens, y).train.x.dtype == torch.float32
    data = bn.data.from_arrays(tokens, y, keep_dtype=True)
    assert data.train.x.dtype == torch.int64
    net = nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), nn.Linear(6, 3))
    post = bn.fit(bn.models.GaussianNet(net), data.train, **FIT)
    assert post.example[0].dtype == torch.int64
    assert post.evaluate(data.test)["nll"] > 0


def test_a_pair_of_ones_own_gets_what_was_given(tensors, y):
    seen = []

    def model(x, y=None):
        seen.append(x)
        weight = pyro.sample("weight", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x["numbers"])):
            pyro.sample("y", dist.Normal(weight * x["numbers"][:, 0] * x["mask"][:, 0], 1.0), obs=y)

    def guide(x, y=None):
        pyro.sample("weight", dist.Normal(pyro.param("loc", torch.tensor(0.0)), 0.1))

    pair = bn.models.PyroPair(model, guide)
    post = bn.fit(pair, (tensors, y.float()), **FIT)
    assert {frozenset(x) for x in seen} == {frozenset(tensors)}
    assert {x["mask"].dtype for x in seen} == {torch.bool}
    assert post.predict(tensors, draws=2).shape == (2, 27)


def test_what_does_not_fit_is_named(tensors, y):
    _, several = models()
    post = bn.fit(several, (tensors, y), **FIT)
    without = {name: tensors[name] for name in ("tokens", "mask")}
    with pytest.raises(ValueError, match="missing 1 required positional argument: 'numbers'"):
        bn.fit(several, (without, y), **FIT)
    with pytest.raises(ValueError, match="numbers: .* as in training, got tokens"):
        post.predict(without)
    with pytest.raises(ValueError, match="the tensors of x must have the same rows"):
        bn.fit(several, (tensors | {"mask": tensors["mask"][:5]}, y), **FIT)
    wrong = tensors | {"numbers": tensors["numbers"].log()}
    with pytest.raises(ValueError, match=r"x\['numbers'\] must be finite, got nan"):
        bn.fit(several, (wrong, y), **FIT)
    with pytest.raises(ValueError, match="x must be one tensor for a ArdRegression"):
        bn.fit(bn.models.ArdRegression(1), (tensors, y.float()), **FIT)
    with pytest.raises(ValueError, match="standardise is for one input"):
        bn.data.from_arrays(tensors, y, standardise=True)
