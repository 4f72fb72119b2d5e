"""The bound of IndianBuffetVae on MNIST beside the published ones, for both guides.

    BAYESNAS_DATA=... python tests/benchmarks/indian_buffet_vae.py --epochs 50

Published (Singh, Ling, Doshi-Velez 2017; K = 100, α = 10, 500 hidden units), negative, in nats:
mean field with black-box inference 104.5, mean field with Gumbel 96.4, structured with Gumbel 86.5.

Pixels are drawn anew from their grey values whenever a training image is seen; the test images are
drawn once, from seed 0. ``--validation`` holds out 5,000 training images and measures on those.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

import bayesnas as bn

PUBLISHED = {"mean-field": 96.4, "structured": 86.5}
HELD_OUT = 5000


def images(validation: bool) -> tuple[Tensor, Tensor]:
    """Grey training images, and binary ones to measure on, ``[n, 784]``."""
    data = bn.data.load("mnist")
    assert data.test is not None
    train, other = data.train.x.flatten(1), data.test.x.flatten(1)
    if validation:
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
        train, other = train[order[HELD_OUT:]], train[order[:HELD_OUT]]
    return train, torch.bernoulli(other, generator=torch.Generator().manual_seed(0))


def row(post: bn.Posterior, train: Tensor, other: Tensor, draws: int, seconds: float) -> str:
    """What is printed of a fit."""
    model = post.model
    assert isinstance(model, bn.models.IndianBuffetVae)
    sticks = float(model.sticks.divergence().detach()) / len(train)
    bounds = {
        (part, relaxed): sticks - float(model.bound(x, draws, relaxed=relaxed).mean())
        for part, x in (("other", other), ("train", torch.bernoulli(train[: len(other)])))
        for relaxed in (False, True)
    }
    activity = model.activity(other)
    cells = [
        model.guide_structure,
        f"{bounds['other', False]:.2f}",
        f"{bounds['other', True]:.2f}",
        f"{bounds['train', False]:.2f}",
        str(PUBLISHED[model.guide_structure]),
        str(int(model.active(other).sum())),
        f"{float((activity > 0.5).float().sum(1).mean()):.1f}",
        f"{sticks:.3f}",
        f"{seconds / 60:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--guides", nargs="+", default=["mean-field", "structured"])
    parser.add_argument("--hidden", type=int, nargs="+", default=[500])
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--kl-warmup", type=float, default=0.1)
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--out", help="folder to keep the runs in, one a guide")
    options = parser.parse_args()
    train, other = images(options.validation)
    print("| guide | −bound, binary z | relaxed z | training images | published |", end="")
    print(" features used | on in an image | KL(ν)/N | minutes |\n" + "|---" * 9 + "|", flush=True)
    for guide in options.guides:
        model = bn.models.IndianBuffetVae(
            784, 100, 10.0, guide_structure=guide, hidden=options.hidden, binarize=True,
            temperature=options.temperature,
        )  # fmt: skip
        start = time.perf_counter()
        post = bn.fit(
            model, (train, train), epochs=options.epochs, lr=options.lr, seed=options.seed,
            batch_size=options.batch_size, kl_warmup=options.kl_warmup, device="cpu",
            out=None if options.out is None else f"{options.out}/{guide}", resume=bool(options.out),
        )  # fmt: skip
        seconds = time.perf_counter() - start
        print(row(post, train, other, options.draws, seconds), flush=True)


if __name__ == "__main__":
    main()
