"""Networks of strangers: what none of the zoo's has, each with a value that is known without it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import bayesnas as bn

FIT = {"steps": 4, "batch_size": 8, "progress": False, "device": "cpu"}


def data(n=24, width=6):
    x = torch.randn(n, width, generator=torch.Generator().manual_seed(1))
    return x, torch.arange(n) % 3


class Net(nn.Module):
    """Two layers around whatever a test does between them."""

    def __init__(self, between=torch.relu):
        super().__init__()
        self.first, self.second, self.between = nn.Linear(6, 6), nn.Linear(6, 3), between

    def forward(self, x):
        return self.second(self.between(self.first(x)))


def nearly_point(net, **options):
    """A model whose draws are its means: predictions are those of the plain network."""
    return bn.models.GaussianNet(net, initial_scale=1e-5, **options)


# What a forward pass may not do ---------------------------------------------------------------


class Writes(Net):
    def forward(self, x):
        return super().forward(x.mul_(2.0))


class WritesInTraining(Net):
    def forward(self, x):
        return super().forward(x.mul_(2.0) if self.training else x)


class InPlaceLayer(Net):
    def __init__(self):
        super().__init__()
        self.start = nn.ReLU(inplace=True)

    def forward(self, x):
        return super().forward(self.start(x))


@pytest.mark.parametrize("kind", [bn.models.GaussianNet, bn.models.BayesianCompressionNet])
@pytest.mark.parametrize("net", [Writes, WritesInTraining, InPlaceLayer])
def test_a_net_that_writes_into_its_inputs_is_named_and_the_data_stay(net, kind):
    """Batches are views of the data: these were doubled at every step."""
    x, y = data()
    before = x.clone()
    with pytest.raises(ValueError, match=r"leave its inputs as they are.*x = x\.clone\(\)"):
        bn.fit(kind(net()), (x, y), **{**FIT, "batch_size": 24})
    assert torch.equal(x, before)


class Detached(Net):
    def forward(self, x):
        return super().forward(x).detach()


class WithoutGradient(Net):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


@pytest.mark.parametrize("likelihood", ["categorical", "gaussian"])
@pytest.mark.parametrize("net", [Detached, WithoutGradient])
def test_outputs_without_a_gradient_are_named(net, likelihood):
    """Only the KL was trained, and the noise of a Gaussian."""
    x, y = data()
    y = y if likelihood == "categorical" else x[:, :3]
    with pytest.raises(ValueError, match="outputs that its parameters have a gradient in"):
        bn.fit(bn.models.GaussianNet(net(), likelihood=likelihood), (x, y), **FIT)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_is_named(reentrant):
    """Reentrant, it ran the layer again with no weights: a gradient of zero, without a word."""

    class Checkpointed(Net):
        def forward(self, x):
            hidden = self.first(x)
            if not self.training:  # as libraries do
                return self.second(hidden)
            return checkpoint(self.second, hidden, use_reentrant=reentrant)

    with pytest.raises(ValueError, match=r"torch\.utils\.checkpoint.*off"):
        bn.fit(bn.models.GaussianNet(Checkpointed()), data(), **FIT)


@pytest.mark.parametrize(
    "change",
    [lambda out: out.sum(), lambda out: out.T, lambda out: out[:1]],
    ids=["sum", "transposed", "first"],
)
def test_outputs_that_are_no_rows_are_named(change):
    class Changed(Net):
        def forward(self, x):
            return change(super().forward(x))

    with pytest.raises(ValueError, match="one row of outputs for every row of x"):
        bn.fit(bn.models.GaussianNet(Changed()), data(), **FIT)


# Types and places of parameters ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
def test_parameters_that_no_fit_can_sum_are_named(dtype):
    net = nn.Sequential(nn.Linear(6, 4, dtype=dtype), nn.Linear(4, 3))
    with pytest.raises(ValueError, match=rf"layer '0' has trainable parameters of {dtype}"):
        bn.models.GaussianNet(net)


def test_a_frozen_part_may_be_of_half_precision():
    class Cast(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen = nn.Linear(6, 4).bfloat16().requires_grad_(False)
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.frozen(x.bfloat16()).float())

    x, y = data()
    net = Cast()
    post = bn.fit(nearly_point(net), (x, y), **FIT)
    plain = post.model.plain_module().eval()
    assert torch.equal(plain.frozen.weight, net.frozen.weight)
    assert torch.allclose(post.predict(x, 2).mean(0), plain(x).softmax(-1), atol=1e-3)


def test_parameters_without_values_are_named():
    with pytest.raises(ValueError, match="'meta' and has no values.*to_empty"):
        bn.models.GaussianNet(nn.Sequential(nn.Linear(6, 3)).to("meta"))


@pytest.mark.parametrize("layer", [nn.Embedding, nn.EmbeddingBag])
def test_embeddings_with_sparse_gradients_are_trained_as_dense_ones(layer):
    """The flag says how a gradient is laid out, and changes no number."""

    def fitted(sparse):
        torch.manual_seed(0)
        net = nn.Sequential(layer(11, 5, sparse=sparse), nn.Flatten(), nn.LazyLinear(3))
        x = torch.arange(48).reshape(24, 2) % 11
        net(x)
        post = bn.fit(bn.models.GaussianNet(net), (x, torch.arange(24) % 3), **FIT)
        return post.predict(x, 2), net[0].sparse

    (sparse, flag), (dense, _) = fitted(True), fitted(False)
    assert torch.equal(sparse, dense)
    assert flag


def test_a_program_of_one_number_of_rows_is_not_written(tmp_path):
    class Looped(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.GRUCell(2, 4), nn.Linear(4, 3)

        def forward(self, x):
            state = x.new_zeros(self.rows(x), 4)
            for step in range(3):
                state = self.cell(x[:, 2 * step : 2 * step + 2], state)
            return self.head(state)

        def rows(self, x):
            return len(x)

    class AnyRows(Looped):
        def rows(self, x):
            return x.shape[0]

    x, _ = data()
    with pytest.raises(
        ValueError, match=r"any number of rows.*Looped fixes it at 2.*x\.shape\[0\]"
    ):
        bn.nn.save_net(Looped(), tmp_path / "net.pt2", x[:2])
    net = AnyRows()
    bn.nn.save_net(net, tmp_path / "net.pt2", x[:2])
    program = torch.export.load(tmp_path / "net.pt2").module()
    for rows in (1, 5, 24):
        assert torch.allclose(program(x[:rows]), net(x[:rows]), atol=1e-6)


# Arrays ---------------------------------------------------------------------------------------


def test_tensors_made_in_inference_mode_are_trained_on():
    x, y = data()
    with torch.inference_mode():
        given = x * 1
    expected = bn.fit(bn.models.GaussianNet(Net()), (x, y), **FIT)
    post = bn.fit(bn.models.GaussianNet(Net()), (given, y), **FIT)
    assert torch.equal(post.predict(given, 2), expected.predict(x, 2))


def test_nested_tensors_are_named():
    x, y = data()
    nested = torch.nested.nested_tensor(list(x), layout=torch.jagged)
    with pytest.raises(TypeError, match="x must be one rectangular tensor, got a nested one"):
        bn.fit(bn.models.GaussianNet(Net()), (nested, y), **FIT)


def test_labels_of_one_column_are_labels():
    x, y = data()
    expected = bn.fit(bn.models.GaussianNet(Net()), (x, y), **FIT).predict(x, 2)
    for column in (y[:, None], y[:, None].numpy(), y[:, None].double().tolist()):
        post = bn.fit(bn.models.GaussianNet(Net()), (x, column), **FIT)
        assert torch.equal(post.predict(x, 2), expected)
        assert post.evaluate((x, column)) == post.evaluate((x, y))


def test_weights_beyond_the_range_of_the_model_are_named():
    with pytest.raises(ValueError, match=r"sample_weight must be finite, got inf .*torch\.float32"):
        bn.fit(bn.models.GaussianNet(Net()), data(), sample_weight=np.full(24, 1e300), **FIT)
