"""The posterior on a physically smaller net is the one that it comes from."""

from __future__ import annotations

import pytest
import torch

import bayesnas as bn
from bayesnas.inference.compression.smaller_net import shrunk

PRIORS = ("normal-jeffreys", "horseshoe")


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("kind", ["dense", "convolutions"])
def test_the_smaller_posterior_is_the_same_one(prior, kind):
    """Means, KL and draws of the net that is left are those of the larger one."""
    torch.manual_seed(0)
    net = (
        bn.nn.mlp([12, 9, 7, 3])
        if kind == "dense"
        else bn.nn.convnet([5, 6], [8], image=12, kernel=3)
    )
    x = torch.randn(20, 12) if kind == "dense" else torch.randn(20, 1, 12, 12)
    data = (x, torch.arange(20) % 3)
    model = bn.models.BayesianCompressionNet(net, prior, initial_loc="net", initial_scale=0.1)
    post = bn.fit(model, data, steps=1, progress=False)
    with torch.no_grad():
        for parameter in post.model.parameters():
            parameter += 0.4 * torch.randn_like(parameter)
    pruned = post.prune(by="group", fraction=0.3).prune(fraction=0.5)
    pruned.model.remove_unread(x[:2])
    smaller, inputs = shrunk(pruned)
    assert (inputs is None) == (kind == "convolutions")
    seen = x if inputs is None else x[:, inputs]
    torch.testing.assert_close(
        smaller.model.plain_module()(seen), pruned.model.plain_module()(x), atol=1e-5, rtol=1e-4
    )
    sizes = [
        sum(parameter.numel() for parameter in each.model.plain_module().parameters())
        for each in (smaller, post)
    ]
    assert sizes[0] < 0.8 * sizes[1]
    for site, (_, scale) in smaller.model.weight_posteriors().items():
        mask = smaller.model.keep_masks()[site]
        kept = pruned.model.keep_masks()[site]
        here = pruned.model.weight_posteriors()[site][1][kept]
        if kind == "dense":  # weights that read a filter without weights go as well
            torch.testing.assert_close(scale[mask], here)
        else:
            assert set(scale[mask].tolist()) <= set(here.tolist())
    if kind == "dense":
        kl = [each.complexity()["kl_nats"] for each in (smaller, pruned)]
        assert kl[0] == pytest.approx(kl[1], rel=1e-5)
    smaller.refine((seen, data[1]), steps=1, progress=False)


@pytest.mark.parametrize("prior", PRIORS)
def test_an_input_that_goes_while_others_of_its_filter_stay_takes_only_its_own_weights(prior):
    torch.manual_seed(0)
    x, y = torch.randn(20, 1, 16, 16), torch.arange(20) % 3
    net = bn.nn.convnet([5, 6], [8], classes=3, image=16, kernel=3)
    model = bn.models.BayesianCompressionNet(net, prior, initial_loc="net")
    post = bn.fit(model, (x, y), steps=1, progress=False)
    masks, groups = post.model.keep_masks(), post.model.keep_groups.masks()
    masks["layer1.weight"][:, ::2] = False  # the first of each filter's four goes, the last stays
    groups["layer1"][::2] = False
    masks["layer1.weight"][2] = masks["layer1.bias"][2] = False
    masks["conv2.weight"][1] = masks["conv2.bias"][1] = False
    groups["conv2"][1] = False
    post.model.set_keep_masks(masks)
    post.model.keep_groups.assign(groups)
    smaller, _ = shrunk(post)
    assert smaller.model.keep_groups.masks()["layer1"].tolist() == [False, True] * 10
    assert smaller.model.keep_masks()["layer1.weight"].sum() == 10 * 7
    means, whole = smaller.model.weight_posteriors(), post.model.weight_posteriors()
    rows = [0, 1, 3, 4, 5, 6, 7]
    torch.testing.assert_close(means["layer1.bias"][0], whole["layer1.bias"][0][rows])
    torch.testing.assert_close(
        smaller.model.plain_module()(x), post.model.plain_module()(x), atol=1e-5, rtol=1e-4
    )
