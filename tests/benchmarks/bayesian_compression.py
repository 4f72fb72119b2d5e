"""Bayesian compression of LeNet-300-100 and LeNet-5-Caffe on MNIST, beside the published table.

    BAYESNAS_DATA=... python tests/benchmarks/bayesian_compression.py --net lenet-300-100 \
        --priors normal-jeffreys horseshoe --seeds 0 1 2

A net is trained by maximum likelihood, and is the start of a first fit. Groups are removed down to
a number of weights, the net that is left is made physically smaller and fitted again; then the
same with individual weights, by their signal-to-noise ratio. How much goes is set by size alone.
(Louizos et al. remove once, by a threshold set for each layer, and do not fit again.)

``--validation 5000`` holds out training images and reports their error instead of the test error,
to choose settings by.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.models import BayesianCompressionNet

PAPER = """\
published (Louizos, Ullrich, Welling 2017)
net            method        architecture   |w≠0| %  error %  pruning  fast  maximum
LeNet-300-100  original      784-300-100      100      1.6
               Sparse VD     512-114-72       2.2      1.8       21      84     113
               BC-GNJ        278-98-13       10.8      1.8        9      36      58
               BC-GHS        311-86-14       10.6      1.8        9      23      59
LeNet-5-Caffe  original      20-50-800-500    100      0.9
               Sparse VD     14-19-242-131    0.7      1.0       63     228     365
               BC-GNJ        8-13-88-13       0.9      1.0      108     361     573
               BC-GHS        5-10-76-16       0.6      1.0      156     419     771"""


@dataclass(frozen=True)
class Stage:
    """Remove down to a share of the weights (None: nothing), then fit.

    Attributes:
        remove: ``"groups"`` or ``"weights"``.
        fraction: of all weights that stays, at most.
        kl_weight: λ of the fit.
        epochs: of the fit.
        lr: learning rate at its start.
    """

    remove: str | None
    fraction: float
    kl_weight: float
    epochs: int
    lr: float


@dataclass(frozen=True)
class Recipe:
    """What is done to a net."""

    net: Callable[[], nn.Module]
    flat: bool
    pretrain: int
    stages: Sequence[Stage]


def lenet_300_100() -> Recipe:
    return Recipe(
        net=lambda: bn.nn.mlp([784, 300, 100, 10]),
        flat=True,
        pretrain=8,
        stages=[
            Stage(None, 1.0, 0.2, 14, 1e-2),
            Stage("groups", 0.30, 0.2, 10, 5e-3),
            Stage("groups", 0.107, 0.3, 15, 5e-3),
            Stage("weights", 0.045, 0.3, 10, 5e-3),
            Stage("weights", 0.030, 0.3, 10, 5e-3),
            Stage("weights", 0.0218, 0.6, 20, 1e-2),
        ],
    )


def lenet_5() -> Recipe:
    return Recipe(
        net=bn.nn.convnet,
        flat=False,
        pretrain=3,
        stages=[
            Stage(None, 1.0, 0.2, 6, 1e-2),
            Stage("groups", 0.10, 0.2, 6, 5e-3),
            Stage("groups", 0.02, 0.2, 10, 5e-3),
            Stage("weights", 0.0088, 0.1, 15, 5e-3),
        ],
    )


RECIPES = {"lenet-300-100": lenet_300_100, "lenet-5": lenet_5}


def pretrained(net: nn.Module, x: Tensor, y: Tensor, epochs: int, seed: int) -> nn.Module:
    """Train by maximum likelihood: Adam 1e-3 with cosine decay, batch 128."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        for rows in torch.randperm(len(x), generator=generator).split(128):
            optimizer.zero_grad()
            F.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
    return net


def error(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of wrong predictions, in per cent."""
    with torch.no_grad():
        parts = zip(x.split(2000), y.split(2000), strict=True)
        wrong = [(net(inputs).argmax(1) != labels).sum() for inputs, labels in parts]
    return 100 * float(sum(wrong)) / len(x)


def weight_masks(model: BayesianCompressionNet) -> dict[str, Tensor]:
    return {n: mask for n, mask in model.keep_masks().items() if n.endswith("weight")}


def without_groups(model: BayesianCompressionNet, x: Tensor, most: int) -> BayesianCompressionNet:
    """Remove the groups above the largest threshold that leaves at most so many weights."""
    scores = torch.cat([score.flatten() for score in model.group_scores().values()])
    candidates = scores[scores.isfinite()].unique()
    low, high = 0, len(candidates) - 1
    while low < high:
        middle = (low + high + 1) // 2
        smaller = removed(model, x, float(candidates[middle]))
        if smaller is None or kept(smaller) <= most:
            low = middle
        else:
            high = middle - 1
    found = removed(model, x, float(candidates[low]))
    assert found is not None, "no threshold leaves so few weights and a group in every layer"
    return found


def removed(
    model: BayesianCompressionNet, x: Tensor, threshold: float
) -> BayesianCompressionNet | None:
    """A copy without the groups at or above the threshold; None if a layer would be emptied."""
    smaller = copy.deepcopy(model)
    try:
        smaller.remove_groups(threshold)
    except ValueError:
        return None
    smaller.remove_unread(x)
    return smaller


def without_weights(model: BayesianCompressionNet, x: Tensor, most: int) -> BayesianCompressionNet:
    """Keep the weights with the largest |mean| / standard deviation."""
    masks, posteriors = weight_masks(model), model.weight_posteriors()
    signal = {n: (mean.abs() / scale.clamp_min(1e-30)) * masks[n]
              for n, (mean, scale) in posteriors.items() if n in masks}  # fmt: skip
    cut = torch.cat([s.flatten() for s in signal.values()]).topk(most).values[-1]
    smaller = copy.deepcopy(model)
    smaller.set_keep_masks({n: masks[n] & (s >= cut) for n, s in signal.items()})
    smaller.remove_unread(x)
    return smaller


def kept(model: BayesianCompressionNet) -> int:
    return sum(int(mask.sum()) for mask in weight_masks(model).values())


def made_smaller(post: bn.Posterior, options: dict[str, Any]) -> BayesianCompressionNet:
    """A model of the physically smaller net that starts at its weights, zeros removed."""
    small = post.compact()
    model = BayesianCompressionNet(small, initial_loc="net", initial_scale=0.05, **options)
    parameters = dict(small.named_parameters())
    model.set_keep_masks({n: parameters[n] != 0 for n in weight_masks(model)})
    return model


def architecture(model: BayesianCompressionNet) -> str:
    return "-".join(str(int(mask.sum())) for mask in model.keep_groups.masks().values())


def run(net: str, prior: str, seed: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Go through the stages; one row each."""
    recipe = RECIPES[net]()
    data = bn.data.load("mnist")
    x, y, x_test, y_test = data.train.x, data.train.y, data.test.x, data.test.y
    if args.validation:
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
        out, rest = order[: args.validation], order[args.validation :]
        x, y, x_test, y_test = x[rest], y[rest], x[out], y[out]
    if recipe.flat:
        x, x_test = x.flatten(1), x_test.flatten(1)
    shorter = 0.1 if args.quick else 1.0
    torch.manual_seed(seed)
    start = pretrained(recipe.net(), x, y, math.ceil(shorter * recipe.pretrain), seed)
    total = sum(p.numel() for n, p in start.named_parameters() if n.endswith("weight"))
    rows = [{"net": net, "prior": "-", "seed": seed, "stage": "trained", "architecture": "",
             "fraction": 100.0, "error": error(start, x_test, y_test)}]  # fmt: skip
    show(rows[-1])
    options = {"prior": prior}
    model = BayesianCompressionNet(start, initial_loc="net", initial_scale=0.05, **options)
    post: bn.Posterior | None = None
    for stage in recipe.stages:
        began = time.perf_counter()
        if stage.remove is not None:
            assert post is not None
            most = int(stage.fraction * total)
            remove = without_groups if stage.remove == "groups" else without_weights
            smaller = remove(model, x[:2], most)
            model.load_state_dict(smaller.state_dict())
            model = made_smaller(post, options)
        post = bn.fit(
            model, (x, y), kl_weight=stage.kl_weight, epochs=math.ceil(shorter * stage.epochs),
            batch_size=256, lr=stage.lr, seed=seed, compile="trace", progress=False,
        )  # fmt: skip
        assert isinstance(post.model, BayesianCompressionNet)
        model = post.model
        figures = model.compression()
        weights = figures["weights_kept"]
        rows.append(
            {
                "net": net, "prior": prior, "seed": seed,
                "stage": f"{stage.remove or 'all'}, λ={stage.kl_weight:g}",
                "architecture": architecture(model), "fraction": 100 * weights / total,
                "error": error(post.compact(), x_test, y_test),
                "pruning": total / weights,
                "fast": figures["fast_prediction"] * total / figures["weights"],
                "maximum": figures["maximum"] * total / figures["weights"],
                "seconds": time.perf_counter() - began,
            }
        )  # fmt: skip
        show(rows[-1])
    return rows


def show(row: dict[str, Any]) -> None:
    text = (
        f"{row['net']:14} {row['prior']:16} {row['seed']} {row['stage']:16} "
        f"{row['architecture']:16} {row['fraction']:6.2f} {row['error']:6.2f}"
    )
    if "pruning" in row:
        figures = " ".join(f"{row[name]:7.1f}" for name in ("pruning", "fast", "maximum"))
        text += f" {figures} {row['seconds']:6.0f} s"
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", nargs="+", default=["lenet-300-100"], choices=RECIPES)
    parser.add_argument("--priors", nargs="+", default=["normal-jeffreys", "horseshoe"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--validation", type=int, default=0, help="held-out training images")
    parser.add_argument("--quick", action="store_true", help="a tenth of the epochs")
    parser.add_argument("--out", help="JSON file for the rows")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(PAPER)
    print("\nours: net, prior, seed, stage, kept groups, |w≠0| %, error %, pruning, fast, maximum")
    rows = [
        row
        for net in args.net
        for prior in args.priors
        for seed in args.seeds
        for row in run(net, prior, seed, args)
    ]
    if args.out:
        Path(args.out).write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
