"""Posteriors coded as samples of themselves: the file, what comes back, and what is refused."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.coding.weight_code import Layout
from bayesnas.inference.compression.relative_entropy.steering import SteeredPosterior, Steering
from bayesnas.inference.compression.relative_entropy.tempering import tempered
from bayesnas.inference.config.inputs import checked_tensors
from bayesnas.models.networks.base import network_outputs

QUIET = {"device": "cpu", "progress": False}
SHORT = {"size": 600, "block_bits": 6, "epochs": 2, "coding_epochs": 2, "rounds": 3, **QUIET}


@pytest.fixture(scope="module")
def post(digits):
    model = bn.models.GaussianNet(bn.nn.mlp([64, 12, 10]), prior_scale="learned")
    return bn.fit(model, digits, steps=150, lr=0.02, progress=False)


@pytest.fixture(scope="module")
def coded(digits, post):
    return bn.code(post, digits, **SHORT)


def test_the_file_gives_back_the_network_and_is_as_large_as_said(coded, tmp_path):
    test = bn.data.load("digits").test
    size = coded.encode(tmp_path / "net.bin")
    assert size == coded.size == (tmp_path / "net.bin").stat().st_size
    assert 600 - 1 <= size <= 600  # whole blocks of 6 bits
    assert coded.bits == 6 * len(coded.code.indices)
    decoded = bn.decode(tmp_path / "net.bin")
    assert torch.equal(decoded(test.x), coded.module(test.x))
    assert type(decoded) is nn.Sequential
    assert not decoded.training
    assert "910 weights in" in repr(coded)
    assert "600 bytes on disk" in repr(coded) or "599 bytes on disk" in repr(coded)


def test_the_posterior_stays_and_one_seed_gives_one_file(coded, digits, post, tmp_path):
    before = {name: value.clone() for name, value in post.model.state_dict().items()}
    state = torch.get_rng_state()
    again = bn.code(post, digits, **SHORT)
    other = bn.code(post, digits, seed=1, **SHORT)
    assert again.code.indices == coded.code.indices
    assert other.code.indices != coded.code.indices
    assert torch.equal(torch.get_rng_state(), state)
    after = post.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_the_kl_of_every_block_is_steered_to_its_budget(digits, post):
    masks = {s: torch.ones(shape).bool() for s, shape in post.model.layers.shapes.items()}
    layout = Layout(masks, 0, 60)
    budget = 7 * math.log(2)
    how = Steering(budget, 1.0, lr=2e-2, batch_size=100, rate=1.5)
    steered = SteeredPosterior(copy.deepcopy(post.model), layout, digits, how)
    before = steered.block_kl().detach()
    steered.train(400)
    after = steered.block_kl().detach()
    assert abs(after / budget - 1).max() < 1.0 < abs(before / budget - 1).max()
    assert float(after.mean()) == pytest.approx(budget, rel=0.2)


def test_tempered_deviations_are_those_of_the_optimum_at_another_kl_weight():
    """Mean-field linear regression, where the curvature is XᵀX over the variance of the noise."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 6, generator=generator, dtype=torch.float64)
    curvature, prior = x.square().sum(0) / 0.25, torch.full((6,), 0.7, dtype=torch.float64)
    loc = torch.linspace(-0.5, 0.5, 6, dtype=torch.float64)
    block = torch.tensor([0, 1, 2, 0, 1, 2])
    scale, factor = tempered(loc, (curvature + prior**-2).rsqrt(), prior, block, 3, 9.0)
    expected = (curvature * factor[block] + prior**-2).rsqrt()
    torch.testing.assert_close(scale, expected, rtol=1e-9, atol=0)
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence(normal(loc, scale), normal(0.0, prior))
    torch.testing.assert_close(kl[:3] + kl[3:], torch.full_like(kl[:3], 9.0), rtol=1e-6, atol=0)


def test_blocks_use_their_budget_before_the_first_step(digits, post):
    masks = {s: torch.ones(shape).bool() for s, shape in post.model.layers.shapes.items()}
    masks["layer1.weight"][3] = False
    how = Steering(13.0, 2.0, lr=1e-2, batch_size=100)
    model = copy.deepcopy(post.model)
    steered = SteeredPosterior(model, Layout(masks, 0, 60), digits, how)
    before = steered.block_kl().detach()
    steered.use_budget()
    after = steered.block_kl().detach()
    assert (before < 13.0).any()
    assert (before > 13.0).any()
    torch.testing.assert_close(after, before.clamp_min(13.0), rtol=1e-3, atol=0)
    assert torch.equal(steered.kl_weights() < 1.999, before < 13.0)
    torch.testing.assert_close(steered.kl_weights().max(), torch.tensor(2.0))
    of_fit, now = post.model.posterior("layer1.weight"), model.posterior("layer1.weight")
    assert torch.equal(now.scale[3], of_fit.scale[3])  # of no block
    assert torch.equal(now.loc, of_fit.loc)


def test_coding_begins_at_the_prior_scales_of_the_least_kl(digits, post):
    """Of a layer: the mean square of its weights under the posterior, kept ones alone."""
    pruned = post.prune(by="density", fraction=0.3)
    no_steps = SHORT | {"epochs": 0, "coding_epochs": 0}
    scales = bn.code(pruned, digits, **no_steps).code.scales
    for layer in ("layer1", "layer2"):
        squares = []
        for site in (f"{layer}.weight", f"{layer}.bias"):
            loc, scale = pruned.model.weight_posteriors()[site]
            squares.append((loc**2 + scale**2)[pruned.model.keep_masks()[site]])
            assert scales[site] == scales[f"{layer}.weight"]
        expected = float(torch.cat(squares).mean().sqrt())
        assert scales[f"{layer}.weight"] == pytest.approx(expected, rel=1e-3)  # half precision
        assert abs(float(post.model.weight_prior_scales()[f"{layer}.weight"]) / expected - 1) > 0.01


def test_steps_become_smaller_down_to_a_tenth(digits, post):
    """The first step of Adam moves every parameter by its learning rate, whatever the gradient."""
    masks = {s: torch.ones(shape).bool() for s, shape in post.model.layers.shapes.items()}
    for share, factor in ((0.0, 1.0), (0.5, 0.55), (1.0, 0.1)):
        model = copy.deepcopy(post.model)
        before = model.log_prior_scale.detach().clone()
        how = Steering(10.0, 1.0, lr=1e-2, batch_size=100)
        steered = SteeredPosterior(model, Layout(masks, 0, 60), digits, how)
        steered.slow_down(share)
        steered.train(1)
        moved = (model.log_prior_scale.detach() - before).abs()
        torch.testing.assert_close(moved, torch.full_like(moved, factor * 1e-2), rtol=1e-2, atol=0)


def test_a_kernel_is_one_draw_a_batch_and_a_matrix_one_an_example():
    """Moments of outputs that are linear in a kernel are those of its posterior."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    model = bn.models.GaussianNet(net.double(), initial_loc="net", initial_scale=0.3)
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64).expand(6, -1, -1, -1)
    layout = Layout(model.keep_masks(), 0, 4)
    sample = checked_tensors(model, (x, torch.arange(6) % 3), "data")
    steered = SteeredPosterior(model, layout, sample, Steering(1.0, 1.0, 1e-2, 6))
    kernels = nn.Sequential(OrderedDict(list(model.net.named_children())[:1]))

    def drawn(net, sites):
        with torch.no_grad():
            weights = steered.weights()
            return network_outputs(net, {site: weights[site] for site in sites}, x)

    maps = torch.stack([drawn(kernels, ["0.weight", "0.bias"]) for _ in range(4000)])
    assert torch.equal(maps, maps[:, :1].expand_as(maps))
    assert not torch.equal(*drawn(model.net, steered.weights())[:2])  # the matrix has two
    mean = model.plain_module()[0](x[:1])[0]
    patches = nn.functional.unfold(x[:1], 3).square().sum(1).reshape(2, 2)
    variance = 0.3**2 * (patches + 1)
    deviation = ((maps[:, 0].mean(0) - mean) / (variance / 4000).sqrt()).abs().max()
    assert deviation < 5.5  # 8 outputs: beyond with a probability of 3e-7
    assert (maps[:, 0].var(0) / variance - 1).abs().max() < 0.15  # 6.7 of its deviations


def test_another_candidate_is_another_network(digits, post):
    """Which candidate is the better one is tested where it is chosen, in bayesnas/coding."""
    nets = [
        bn.code(post, digits, seed=0, candidate=candidate, **SHORT).module
        for candidate in ("likeliest", "sample")
    ]
    likeliest, sample = (net.state_dict() for net in nets)
    assert any(not torch.equal(likeliest[name], sample[name]) for name in likeliest)


def test_divergences_of_blocks_are_those_of_their_weights(digits, post):
    """Against torch's own KL of normal distributions."""
    masks = {s: torch.ones(shape).bool() for s, shape in post.model.layers.shapes.items()}
    layout = Layout(masks, 3, 20)
    ours = SteeredPosterior(post.model, layout, digits, Steering(1.0, 1.0, 1e-2, 100)).block_kl()
    posteriors, scales = post.model.weight_posteriors(), post.model.weight_prior_scales()
    kl = torch.cat(
        [
            torch.distributions.kl_divergence(
                torch.distributions.Normal(loc, scale),
                torch.distributions.Normal(0.0, scales[site]),
            ).flatten()
            for site, (loc, scale) in posteriors.items()
        ]
    )
    expected = torch.stack([kl[places].sum() for places in layout.members()])
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_removed_weights_stay_zero(digits, post, tmp_path):
    pruned = post.prune(by="density", fraction=0.7)
    small = bn.code(pruned, digits, **SHORT)
    small.encode(tmp_path / "net.bin")
    net = bn.decode(tmp_path / "net.bin")
    for site, mask in pruned.model.keep_masks().items():
        weight = net.get_parameter(site)
        assert not weight[~mask].any()
        assert (weight[mask] == 0).sum() <= 0.1 * mask.sum()  # the table of quantiles has a 0


def test_point_estimates_are_written_as_they_are(digits, tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 10))
    post = bn.fit(bn.models.GaussianNet(net), digits, steps=30, progress=False)
    coded = bn.code(post, digits, **SHORT)
    coded.encode(tmp_path / "net.bin")
    decoded = bn.decode(tmp_path / "net.bin")
    assert torch.equal(decoded(digits.x), coded.module(digits.x))
    assert torch.equal(decoded[1].weight, coded.module[1].weight)


def test_a_file_takes_rows_in_the_units_of_the_data(tmp_path):
    data = bn.data.load("diabetes", standardise=True)
    model = bn.models.GaussianNet(bn.nn.mlp([10, 8, 1]), likelihood="gaussian")
    post = bn.fit(model, data.train, steps=50, progress=False)
    coded = bn.code(post, data.train, **{**SHORT, "size": 1500})
    coded.encode(tmp_path / "net.bin")
    raw = bn.data.load("diabetes").test
    net = bn.decode(tmp_path / "net.bin")
    assert torch.equal(net(raw.x), coded.in_data_units()(raw.x))
    units = data.train.info.standardisation
    expected = units.invert_y(coded.module(data.test.x))
    torch.testing.assert_close(net(raw.x), expected, rtol=1e-3, atol=1e-2)


def test_convolutions_in_double_precision_come_back(tmp_path):
    torch.manual_seed(0)
    x, y = torch.randn(40, 1, 6, 6, dtype=torch.float64), torch.arange(40) % 3
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).double()
    post = bn.fit(bn.models.GaussianNet(net), (x, y), steps=20, progress=False)
    coded = bn.code(post, (x, y), **{**SHORT, "size": 500})
    coded.encode(tmp_path / "net.bin")
    decoded = bn.decode(tmp_path / "net.bin")
    assert decoded[0].weight.dtype == torch.float64
    assert torch.equal(decoded(x), coded.module(x))


def test_any_cut_or_changed_file_is_named(coded, tmp_path):
    coded.encode(tmp_path / "net.bin")
    content = (tmp_path / "net.bin").read_bytes()
    for length in (0, 3, 16, 100, len(content) - 1):
        (tmp_path / "cut.bin").write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"cut.bin is (truncated|no file of bayesnas.encode)"):
            bn.decode(tmp_path / "cut.bin")
    for place in range(0, len(content), 97):
        changed = bytearray(content)
        changed[place] ^= 0x55
        (tmp_path / "bad.bin").write_bytes(changed)
        with pytest.raises(ValueError, match="bad.bin"):
            bn.decode(tmp_path / "bad.bin")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 60}, r"size must be at least \d+ bytes, .* got 60"),
        ({"size": 0}, "size must be a whole number from 1"),
        ({"block_bits": 21}, "block_bits must be"),
        ({"spare_bits": 6.0}, r"spare_bits must be in \[0, block_bits = 6\), got 6.0"),
        ({"spare_bits": -1.0}, "spare_bits must be"),
        ({"epochs": -1}, "epochs must be"),
        ({"rounds": 0}, "rounds must be"),
        ({"lr": 0.0}, "lr must be"),
        ({"kl_weight": 0.0}, "kl_weight must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_options_out_of_range_are_named(options, message, digits, post):
    with pytest.raises(ValueError, match=message):
        bn.code(post, digits, **{**SHORT, **options})


def test_posteriors_that_can_not_be_coded_are_named(digits):
    net = bn.nn.mlp([64, 4, 10])
    of_each = bn.fit(bn.models.GaussianNet(net, prior_scale="ard"), digits, steps=2, progress=False)
    with pytest.raises(TypeError, match="must have one prior scale a layer"):
        bn.code(of_each, digits, **SHORT)
    gated = bn.fit(bn.models.SpikeAndSlabNet(net), digits, steps=2, progress=False)
    with pytest.raises(TypeError, match="posterior must be of a GaussianNet"):
        bn.code(gated, digits, **SHORT)
