"""Bayesian linear regression: fits against the exact tempered posterior, and k̂.

python tests/benchmarks/linear_regression.py
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

import bayesnas as bn

NOISE, PRIOR = 0.5, 2.0


def examples(orthogonal: bool) -> tuple[Tensor, Tensor]:
    """120 examples of 4 features, correlated (.92) or orthogonal."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(120, 4, generator=generator)
    if orthogonal:
        centred = torch.cat([torch.ones(120, 1), x], dim=1).double()
        x = (torch.linalg.qr(centred).Q[:, 1:] * math.sqrt(120)).float()
    else:
        x[:, 1] = 0.7 * x[:, 0] + 0.3 * x[:, 1]
    noise = NOISE * torch.randn(120, generator=generator)
    return x, x @ torch.tensor([1.0, -2.0, 0.7, 1.5]) + 0.8 + noise


def optimum(x: Tensor, y: Tensor, kl_weight: float) -> tuple[Tensor, float]:
    """Mean of the exact tempered posterior, and the bound of the best mean-field Gaussian."""
    design = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()
    gram = design.T @ design
    precision = gram / (kl_weight * NOISE**2) + torch.eye(5) / PRIOR**2
    mean = torch.linalg.solve(precision, design.T @ y.double() / (kl_weight * NOISE**2))
    variance = 1 / precision.diagonal()
    squares = (y - design @ mean).square().sum() + (gram.diagonal() * variance).sum()
    log_lik = -0.5 * squares / NOISE**2 - len(x) * math.log(NOISE * math.sqrt(2 * math.pi))
    ratio = variance / PRIOR**2
    kl = 0.5 * (ratio + mean.square() / PRIOR**2 - 1 - ratio.log()).sum()
    return mean, float(log_lik - kl_weight * kl)


def fit(x: Tensor, y: Tensor, kl_weight: float) -> bn.Posterior:
    """Fit a linear network with full batches."""
    model = bn.models.GaussianNet(
        bn.nn.mlp([4, 1]), prior_scale=PRIOR, likelihood="gaussian", noise_scale=NOISE
    )
    return bn.fit(model, (x, y), kl_weight=kl_weight, steps=3000, batch_size=120, lr=0.03, seed=1)


def main() -> None:
    """Print two Markdown tables."""
    x, y = examples(orthogonal=False)
    print(
        "| λ | 𝓛 exact mean-field | 𝓛 fitted (± standard error) | off by | means off by at most |"
    )
    print("|---|---|---|---|---|")
    for kl_weight in (0.5, 1.0, 2.0, 10.0):
        post = fit(x, y, kl_weight)
        mean, bound = optimum(x, y, kl_weight)
        metrics = post.evaluate((x, y), draws=2000)
        weights = post.model.weight_posteriors()
        loc = torch.cat([weights["layer1.weight"][0].flatten(), weights["layer1.bias"][0]])
        off = (loc / mean - 1).abs().max()
        print(
            f"| {kl_weight:g} | {bound:.2f} | {metrics['elbo']:.2f} ± {metrics['elbo_error']:.2f} "
            f"| {100 * abs(metrics['elbo'] / bound - 1):.3f} % | {100 * off:.3f} % |"
        )
    x, y = examples(orthogonal=True)
    post = fit(x, y, 0.1)
    print("\n| target of the λ = 0.1 fit, orthogonal design | k̂ (2,000 draws) |")
    print("|---|---|")
    print(f"| tempered, λ = 0.1 | {post.pareto_k((x, y), draws=2000):.2f} |")
    print(f"| posterior, λ = 1 | {post.pareto_k((x, y), draws=2000, kl_weight=1.0):.2f} |")


if __name__ == "__main__":
    main()
