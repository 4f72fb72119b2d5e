"""LatentStructureNet: what a step costs over plain torch, and how close its bound comes.

    python tests/benchmarks/latent_structure.py --cost
    python tests/benchmarks/latent_structure.py --bound
    python tests/benchmarks/latent_structure.py --inside

--cost: a step of one DARTS cell (14 mixed edges of 8 operations, weights as points, γ one site of
14 rows) through bayesnas.fit's traced step, and the same step written by hand: one Gumbel-Softmax
draw, the same closed-form KL, cross-entropy, torch.optim.Adam. Methods take turns, in process CPU
time; the table gives median and quartiles over the rounds in units of the median by hand.

--bound: the evidence of linear-Gaussian models whose structures can be enumerated, the bound after
a fit, and the probability of each operation, exact and fitted.

--inside: the evidence of a regression with γ inside the simplex, by quadrature, and the bounds of
the guides after a fit.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch.distributions import kl_divergence

import bayesnas as bn
from bayesnas.distributions import GumbelSoftmax
from bayesnas.inference.config.settings import make_settings
from bayesnas.inference.training.chains.trainer import ChainTrainer

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "models" / "architecture"))

BATCH, CLASSES, TEMPERATURE = 64, 10, 0.5


def graph() -> bn.nn.Graph:
    """One normal cell of four nodes."""
    torch.manual_seed(0)
    return bn.nn.cells(["normal"], channels=8, nodes=4, image=16)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Noise; what is in the images does not matter here."""
    x = torch.randn(BATCH, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    return x, torch.arange(BATCH) % CLASSES


def ours(compile: str | bool) -> Callable[[], None]:
    """A step of bayesnas.fit."""
    model = bn.models.LatentStructureNet(
        graph(), weights="point", cost="parameters", temperature=TEMPERATURE
    )
    x, y = batch()
    settings = make_settings(
        examples=BATCH, kl_weight=1.0, kl_warmup=0.0, amortize=None, epochs=None, steps=100_000,
        batch_size=BATCH, lr=1e-3, schedule="constant", clip=None, restarts=1, patience=None,
        seed=0, compile=compile,
    )  # fmt: skip
    training = ChainTrainer(
        model, bn.data.Split.of((x, y)), settings, 0, torch.optim.Adam, "constant"
    )
    return lambda: training.advance(1)


def by_hand() -> Callable[[], None]:
    """The same in plain torch."""
    net = graph().train()
    x, y = batch()
    counts = torch.tensor([net.parameter_counts[edge] for edge in net.mixed]) / 1000.0
    logits = torch.nn.Parameter(torch.zeros_like(counts))
    optimizer = torch.optim.Adam([*net.parameters(), logits], lr=1e-3)

    def step() -> None:
        noise = -(-torch.rand_like(logits).log()).log()
        gamma = ((logits + noise) / TEMPERATURE).softmax(-1)
        output = net(x, dict(zip(net.mixed, gamma.unbind(0), strict=True)), check=False)
        q = GumbelSoftmax(TEMPERATURE, logits=logits, validate_args=False)
        p = GumbelSoftmax(TEMPERATURE, logits=-counts, validate_args=False)
        loss = F.cross_entropy(output, y) + kl_divergence(q, p).sum() / BATCH
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def cost(rounds: int) -> None:
    """Print the table of step times."""
    methods = {
        "by hand": by_hand(),
        "bayesnas, traced": ours("trace"),
        "bayesnas, through Pyro": ours(False),
    }
    times: dict[str, list[float]] = {name: [] for name in methods}
    for index in range(rounds + 5):
        for name, step in methods.items():
            began = time.process_time()
            step()
            if index >= 5:
                times[name].append(time.process_time() - began)
    unit = statistics.median(times["by hand"])
    print(f"by hand: {1e3 * unit:.1f} ms of CPU a step\n")
    print("| step | quartile | median | quartile |\n|---|---|---|---|")
    for name, seconds in times.items():
        cuts = " | ".join(f"{cut / unit:.3f}" for cut in statistics.quantiles(seconds, n=4))
        print(f"| {name} | {cuts} |")


def bound(steps: int) -> None:
    """Print the table of bounds."""
    from test_latent_structure_evidence import (  # type: ignore[import-not-found]
        cube_prior,
        enumerated,
        simplex_prior,
        two_features,
    )

    print("| domain | slopes | sample | evidence | bound | P exact | P fitted |")
    print("|---|---|---|---|---|---|---|")
    cases = (
        ("simplex-vertices", simplex_prior, ((-0.05, 0.1), (0.08, 0.0))),
        ("cube-vertices", cube_prior, ((0.02, 0.0), (0.1, 0.2))),
    )
    for domain, prior, chosen in cases:
        for slopes in chosen:
            for sample in ("batch", "example"):
                options = {"cost": {("x", "y"): (0.0, 0.7)}, "cost_scale": 1.0, "sample": sample}
                model, data = two_features(domain, slopes, **options)
                evidence, exact = enumerated(domain, data, prior)
                post = bn.fit(
                    model, data, steps=steps, lr=0.1, compile="trace", device="cpu",
                    progress=False,
                )  # fmt: skip
                metrics = post.evaluate(data, draws=1000)
                reached = f"{metrics['elbo']:.2f} ± {metrics['elbo_error']:.2f}"
                shares = post.model.probabilities()["x", "y"]  # type: ignore[operator]
                print(
                    f"| {domain} | {slopes} | {sample} | {evidence:.2f} | {reached} | "
                    f"{', '.join(f'{p:.2f}' for p in exact)} | "
                    f"{', '.join(f'{float(p):.2f}' for p in shares)} |",
                    flush=True,
                )


def inside(steps: int, seeds: int) -> None:
    """Print the table of bounds inside the simplex."""
    from test_latent_structure_evidence import exact_log_evidence, regression, regression_data

    data = regression_data()
    evidence = exact_log_evidence(*data)
    print(f"evidence {evidence:.2f}\n")
    print("| guide | coupling | seed | bound | below the evidence |\n|---|---|---|---|---|")
    for guide in ("gumbel-softmax", "dirichlet", "logit-normal"):
        for coupling in ("independent", "conjugate"):
            for seed in range(seeds):
                model = regression(guide=guide, coupling=coupling)
                post = bn.fit(
                    model, data, steps=steps, lr=0.1, schedule="cosine", compile="trace",
                    device="cpu", seed=seed, progress=False,
                )  # fmt: skip
                metrics = post.evaluate(data, draws=2000)
                reached = f"{metrics['elbo']:.2f} ± {metrics['elbo_error']:.2f}"
                gap = 100 * (evidence - metrics["elbo"]) / abs(evidence)
                print(f"| {guide} | {coupling} | {seed} | {reached} | {gap:.1f} % |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--bound", action="store_true")
    parser.add_argument("--inside", action="store_true")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    if arguments.cost:
        cost(arguments.rounds)
    if arguments.bound:
        bound(arguments.steps)
    if arguments.inside:
        inside(arguments.steps, arguments.seeds)
