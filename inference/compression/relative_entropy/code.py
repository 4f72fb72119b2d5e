"""A posterior coded in as many bytes as are asked for."""

from __future__ import annotations

import copy
import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from bayesnas.checks import flag, non_negative, positive, seed_number, whole_number
from bayesnas.coding.relative_entropy import MOST_BITS, chosen_candidate
from bayesnas.coding.weight_code import Layout, WeightCode, block_values
from bayesnas.inference.compression.plain_networks.training import MOST_EPOCHS
from bayesnas.inference.compression.relative_entropy.coded import Coded
from bayesnas.inference.compression.relative_entropy.prior_scales import round_prior, use_best_prior
from bayesnas.inference.compression.relative_entropy.steering import SteeredPosterior, Steering
from bayesnas.inference.config.inputs import Data, checked_tensors
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.models.networks.gaussian import GaussianNet
from bayesnas.runtime.device import resolve_device
from bayesnas.runtime.random_state import RandomStream
from bayesnas.typed import typed

_MOST_BYTES = 10**9


@typed(unchecked=("data",))
def code(
    posterior: Posterior,
    data: Data,
    *,
    size: int,
    block_bits: int = 14,
    spare_bits: float = 1.0,
    candidate: Literal["likeliest", "sample"] = "likeliest",
    epochs: int = 20,
    coding_epochs: int = 20,
    rounds: int = 50,
    lr: float = 1e-3,
    batch_size: int = 256,
    kl_weight: float | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: bool = True,
) -> Coded:
    r"""Code the weights of a network by their posterior, in a file of given size.

    Relative-entropy coding: a sample of q costs about KL(q ‖ p) bits where writer and reader share
    draws of p (:func:`~bayesnas.coding.relative_entropy.chosen_candidate`). The weights are put in
    a random order and cut into as many blocks as the size allows; each is sent as an index of
    ``block_bits`` bits. Learned prior scales begin where they make the KL least. First the
    posterior is trained on, with a KL weight λ_b for every block
    that steers its KL to the bits it has; one with fewer begins where its deviations alone would
    use them (:func:`~bayesnas.inference.compression.relative_entropy.tempering.tempered`). Then
    blocks are coded, in ``rounds`` groups, and the weights that are not coded yet are trained on
    between the groups, so that they make up for what the others are off.

    Args:
        posterior: of a :class:`~bayesnas.models.GaussianNet` with one prior scale a layer, best a
            learned one; it stays as it is.
        data: training data: a part of a data set, or a pair ``(x, y)``.
        size: bytes of the file, at most; parameters without a posterior count as they are.
        block_bits: of an index, in 1…20: 2^bits candidates are drawn for each block.
        spare_bits: by which the KL of a block is below the bits of its index.
        candidate: which of the 2^bits stands for a block: the ``"likeliest"``, that of the largest
            q/p, which adds least to the loss, or one drawn with probabilities proportional to q/p,
            nearly a ``"sample"`` of q.
        epochs: passes over the sample before the first block is coded.
        coding_epochs: passes over it from the first to the last.
        rounds: groups of blocks.
        lr: learning rate of Adam; it falls to a tenth from the first block to the last.
        batch_size: examples in a batch.
        kl_weight: λ of which the posterior is the optimum; None for that of the fit, 1 where it
            is 0.
        seed: of everything random, also of the draws of the prior, which the file says.
        device: where to train.
        progress: show a bar over the rounds, where stderr is a terminal.

    Returns:
        the network and its code.

    Raises:
        TypeError: for a posterior of another model, or one with a prior scale for each weight.
        ValueError: naming an argument out of range, such as a size that leaves no bits for the
            weights.

    References:
        Havasi, Peharz, Hernández-Lobato, *Minimal random code learning: getting bits back from
        compressed model parameters*, ICLR 2019.

    >>> import bayesnas as bn
    >>> digits = bn.data.load("digits")
    >>> model = bn.models.GaussianNet(bn.nn.mlp([64, 20, 10]), prior_scale="learned")
    >>> post = bn.fit(model, digits.train, steps=100)
    >>> coded = bn.code(post, digits.train, size=700, block_bits=6, epochs=2, coding_epochs=2)
    >>> size = coded.encode("net.bin")  # bytes
    >>> size <= 700
    True
    >>> net = bn.decode("net.bin")
    >>> torch.equal(net(digits.test.x), coded.module(digits.test.x))
    True
    """
    size = whole_number("size", size, 1, _MOST_BYTES)
    bits = whole_number("block_bits", block_bits, 1, MOST_BITS)
    spare_bits = non_negative("spare_bits", spare_bits)
    if not spare_bits < bits:
        raise ValueError(f"spare_bits must be in [0, block_bits = {bits}), got {spare_bits}")
    epochs = whole_number("epochs", epochs, 0, MOST_EPOCHS)
    coding_epochs = whole_number("coding_epochs", coding_epochs, 0, MOST_EPOCHS)
    rounds = whole_number("rounds", rounds, 1, MOST_EPOCHS)
    weight = (posterior.settings.kl_weight or 1.0) if kl_weight is None else kl_weight
    how = Steering(
        (bits - spare_bits) * math.log(2),
        positive("kl_weight", weight),
        positive("lr", lr),
        whole_number("batch_size", batch_size, 1, 2**31),
    )
    seed, where = seed_number("seed", seed), resolve_device(device)
    model = _coded_model(posterior)
    use_best_prior(model)
    sample = checked_tensors(model, data, "data")
    masks = {site: mask.cpu() for site, mask in model.keep_masks().items()}
    blocks = _block_count(model, posterior, masks, size, bits, seed)
    layout = Layout(masks, seed, blocks)
    a_pass = math.ceil(len(sample) / how.batch_size)
    groups = np.array_split(np.arange(blocks), min(rounds, blocks))
    indices, kl = [0] * blocks, 0.0
    members = layout.members()
    draws: list[float | None] = [None] * blocks
    if candidate == "sample":
        draws = np.random.default_rng(seed).random(blocks).tolist()
    with RandomStream(seed, where).active():
        steered = SteeredPosterior(model.to(where), layout, sample.to(where), how)
        steered.use_budget()
        steered.train(epochs * a_pass)
        round_prior(model)
        for index, group in enumerate(
            tqdm(groups, desc="code", disable=None if flag("progress", progress) else True)
        ):
            if index:
                steered.slow_down(index / len(groups))
                steered.train(coding_epochs * a_pass // max(len(groups) - 1, 1))
            with torch.no_grad():
                kl += float(steered.block_kl()[torch.from_numpy(group)].sum())
            loc, scale, prior = steered.posterior()
            for block in group.tolist():
                at = members[block]
                indices[block] = chosen_candidate(
                    loc[at], scale[at], prior[at],
                    seed=seed, block=block, bits=bits, draw=draws[block],
                )  # fmt: skip
                values = block_values(seed, block, indices[block], len(at))
                steered.fix(at, values.double() * torch.from_numpy(prior[at]))
    model = model.cpu().eval()
    scales = {site: float(scale) for site, scale in model.weight_prior_scales().items()}
    weight_code = WeightCode(layout, _half(scales), bits, tuple(indices))
    weights = {site: value.to(model.dtype) for site, value in weight_code.weights().items()}
    net = model.layers.filled(model.net, weights).eval()
    return Coded(net, weight_code, kl / math.log(2), posterior.data, model)


def _coded_model(posterior: Posterior) -> GaussianNet:
    """A copy of the model, if its posterior and prior are such as are coded."""
    model = posterior.model
    scales = model.weight_prior_scales()
    if not isinstance(model, GaussianNet) or not scales:
        raise TypeError(
            "posterior must be of a GaussianNet, whose weights have a Gaussian posterior and "
            f"prior, got one of {model.describe()}"
        )
    if any(scale.numel() > 1 for scale in scales.values()):
        raise TypeError(
            "posterior must have one prior scale a layer, which the file says, got one a weight: "
            'fit GaussianNet(net, prior_scale="learned")'
        )
    return copy.deepcopy(model)


def _block_count(
    model: GaussianNet,
    posterior: Posterior,
    masks: dict[str, Tensor],
    size: int,
    bits: int,
    seed: int,
) -> int:
    """As many blocks as leave the file at its size."""
    scales = dict.fromkeys(masks, 1.0)
    one = WeightCode(Layout(masks, seed, 1), scales, bits, (0,))
    least = Coded(model.plain_module().eval(), one, 0.0, posterior.data, model).size
    if size < least:
        raise ValueError(
            f"size must be at least {least:,} bytes, what all but the weights takes and one "
            f"block of {bits} bits, got {size:,}"
        )
    count = 8 * (size - least + -(-bits // 8)) // bits
    return min(count, one.layout.weights)


def _half(scales: dict[str, float]) -> dict[str, float]:
    return {site: float(np.float16(scale)) for site, scale in scales.items()}
