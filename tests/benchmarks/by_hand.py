"""GaussianNet 784–50–10 on MNIST written by hand in plain torch, as a yardstick.

    BAYESNAS_DATA=... python tests/benchmarks/by_hand.py --kl-weight 100 --seeds 0 1 2

One weight sample a batch, closed-form KL, Adam 2e-3 with cosine decay, batch 256, log σ from −4,
Xavier-uniform means, prior standard deviation 0.1, 25 epochs. Nothing of bayesnas but the data.
"""

from __future__ import annotations

import argparse
import math

import torch
import torch.nn.functional as F
from torch import Tensor

import bayesnas as bn

PRIOR = 0.1
SHAPES = ((50, 784), (50,), (10, 50), (10,))


def start() -> tuple[list[Tensor], list[Tensor]]:
    """Means and log standard deviations at the start."""
    means = [torch.zeros(shape) for shape in SHAPES]
    for mean in means:
        if mean.ndim == 2:
            torch.nn.init.xavier_uniform_(mean)
    return (
        [mean.requires_grad_() for mean in means],
        [torch.full(shape, -4.0, requires_grad=True) for shape in SHAPES],
    )


def log_likelihood(x: Tensor, y: Tensor, means: list[Tensor], log_scales: list[Tensor]) -> Tensor:
    """Σ log p(y | x, w) at one draw of the weights."""
    pairs = zip(means, log_scales, strict=True)
    w1, b1, w2, b2 = (m + s.exp() * torch.randn_like(m) for m, s in pairs)
    hidden = torch.relu(F.linear(x, w1, b1))
    return -F.cross_entropy(F.linear(hidden, w2, b2), y, reduction="sum")


def kl(means: list[Tensor], log_scales: list[Tensor]) -> Tensor:
    """KL(q ‖ p), summed over all weights."""
    terms = [
        (math.log(PRIOR) - s + (torch.exp(2 * s) + m**2) / (2 * PRIOR**2) - 0.5).sum()
        for m, s in zip(means, log_scales, strict=True)
    ]
    return torch.stack(terms).sum()


def fit(
    x: Tensor, y: Tensor, kl_weight: float, epochs: int, seed: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Train for ``epochs`` and return means and log standard deviations."""
    torch.manual_seed(seed)
    means, log_scales = start()
    optimizer = torch.optim.Adam([*means, *log_scales], lr=2e-3, fused=True)
    steps = epochs * -(-len(x) // 256)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(256):
            log_lik = log_likelihood(x[rows], y[rows], means, log_scales) / len(rows)
            loss = kl_weight * kl(means, log_scales) / len(x) - log_lik
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return means, log_scales


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kl-weight", type=float, default=100.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--draws", type=int, default=64)
    options = parser.parse_args()
    x, y = bn.data.load("mnist", flatten=True).train
    print("| λ | seed | 𝓛 by hand (± standard error) |\n|---|---|---|")
    for seed in options.seeds:
        parameters = fit(x, y, options.kl_weight, options.epochs, seed)
        with torch.no_grad():
            draws = [log_likelihood(x, y, *parameters) for _ in range(options.draws)]
            log_lik = torch.stack(draws).double()
            bound = log_lik.mean() - options.kl_weight * kl(*parameters)
        error = log_lik.std() / math.sqrt(options.draws)
        print(f"| {options.kl_weight:g} | {seed} | {bound:.0f} ± {error:.0f} |", flush=True)


if __name__ == "__main__":
    main()
