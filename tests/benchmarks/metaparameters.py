"""One fit over a box of KL weights and prior scales against a fit at every cell of a 4 × 4 grid.

𝓛(λ, s) = E_q log p(D | w) − λ KL(q ‖ p_s) of the training part, ± its standard error over
draws of the weights. The box is fitted once, in as many steps as four of the separate fits take.

    python tests/benchmarks/metaparameters.py --data mnist
    python tests/benchmarks/metaparameters.py --data diabetes
    python tests/benchmarks/metaparameters.py --data breast-cancer

``--map curvature`` takes the curvature map for the piecewise one. ``--out FOLDER`` keeps the
separate fits' figures, so that another map is measured against the same.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import bayesnas as bn

KL_WEIGHTS = (0.1, 1.0, 10.0, 100.0)
SCALES = tuple(float(f"{scale:.3g}") for scale in np.geomspace(0.05, 1.0, 4))
FITS = 4
MAPS = {"piecewise": bn.nn.PiecewiseMap, "curvature": bn.nn.CurvatureMap}


@dataclass(frozen=True)
class Task:
    """A network for a data set, and how long a fit at one cell is.

    Attributes:
        sizes: of its layers.
        steps: of a separate fit.
        lr: of a separate fit.
        box_lr: of the fit of the box.
        draws: of the weights, over which a bound is averaged.
        regression: whether targets are numbers, with a noise scale that is learned.
    """

    sizes: tuple[int, ...]
    steps: int
    lr: float
    box_lr: float
    draws: int
    regression: bool = False


TASKS = {
    "mnist": Task((784, 50, 10), 2350, 5e-3, 1.5e-2, 16),  # ten epochs
    "breast-cancer": Task((30, 20, 2), 3000, 1e-2, 5e-2, 1000),  # as bn.fit by default
    "diabetes": Task((10, 20, 1), 3000, 1e-2, 5e-2, 1000, regression=True),
}


def model(task: Task, scale: float = 1.0) -> bn.models.GaussianNet:
    """The network at one prior scale."""
    likelihood = "gaussian" if task.regression else "categorical"
    net = bn.nn.mlp(list(task.sizes))
    return bn.models.GaussianNet(net, prior_scale=scale, likelihood=likelihood)


def separate(task: Task, train: bn.data.Split, seed: int) -> list[list[float]]:
    """The bound of a fit at every cell, scales within KL weights."""
    bounds = []
    for scale in SCALES:
        posts = bn.fit(
            model(task, scale), train, kl_weight=KL_WEIGHTS, steps=task.steps, lr=task.lr,
            seed=seed, batched=True, compile="inductor", progress=False,
        )  # fmt: skip
        bounds.append([measured(post, task, train)[0] for post in posts])
    return [list(row) for row in zip(*bounds, strict=True)]


def measured(post: bn.Posterior, task: Task, train: bn.data.Split) -> tuple[float, float]:
    """Bound of the training part, and its standard error."""
    metrics = post.evaluate(train, draws=task.draws)
    return metrics["elbo"], metrics["elbo_error"]


def kept(path: Path | None, task: Task, train: bn.data.Split, seed: int) -> np.ndarray:
    """The separate fits' bounds, from the file where there is one."""
    if path is not None and path.exists():
        return np.array(json.loads(path.read_text()))
    bounds = separate(task, train, seed)
    if path is not None:
        path.write_text(json.dumps(bounds))
    return np.array(bounds)


def at_once(
    task: Task,
    train: bn.data.Split,
    seed: int,
    amortize: bn.nn.PiecewiseMap | bn.nn.CurvatureMap,
    lr: float,
) -> bn.inference.AmortizedPosterior:
    """The fit of the box, in the steps of :data:`FITS` separate ones."""
    return bn.fit(
        model(task), train, kl_weight=bn.LogUniform(KL_WEIGHTS[0], KL_WEIGHTS[-1]),
        metaparameters={"prior_scale": bn.LogUniform(SCALES[0], SCALES[-1])},
        amortize=amortize, steps=FITS * task.steps, lr=lr, seed=seed, compile="inductor",
        progress=False,
    )  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=tuple(TASKS), default="mnist")
    parser.add_argument("--knots", type=int, nargs=2, default=(5, 5), help="of λ, of the scale")
    parser.add_argument("--map", choices=tuple(MAPS), default="piecewise")
    parser.add_argument("--lr", type=float, help="of the fit of the box")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, help="folder for the separate fits' bounds")
    args = parser.parse_args()
    task = TASKS[args.data]
    train = bn.data.load(args.data, standardise=args.data != "mnist").train
    knots = dict(zip(("kl_weight", "prior_scale"), args.knots, strict=True))
    amortize = MAPS[args.map](knots)
    print("| seed | λ | prior scale | 𝓛 one fit | 𝓛 separate | better by |")
    print("|---|---|---|---|---|---|")
    for seed in args.seeds:
        path = None if args.out is None else args.out / f"{args.data}-{seed}.json"
        post = at_once(task, train, seed, amortize, args.lr or task.box_lr)
        others = kept(path, task, train, seed)
        gains = []
        for row, kl_weight in enumerate(KL_WEIGHTS):
            for column, scale in enumerate(SCALES):
                bound, error = measured(post.at(kl_weight, prior_scale=scale), task, train)
                other = others[row, column]
                gains.append(100 * (bound - other) / abs(other))
                print(
                    f"| {seed} | {kl_weight:g} | {scale:g} | {bound:.1f} ± {error:.1f} "
                    f"| {other:.1f} | {gains[-1]:+.1f} % |",
                    flush=True,
                )
        print(f"\n{args.data}, seed {seed}: the worst cell {min(gains):+.1f} %\n", flush=True)


if __name__ == "__main__":
    main()
