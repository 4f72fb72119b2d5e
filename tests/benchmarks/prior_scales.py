"""Which prior scale a GaussianNet should take by itself: held-out figures on five training parts.

.venv/bin/python tests/benchmarks/prior_scales.py                 # the table of docs/defaults.md
.venv/bin/python tests/benchmarks/prior_scales.py --data wine

A net of 100 hidden units at λ = 1, 3,000 steps of Adam at 0.01 with cosine decay in batches of
128 (MNIST: its first 6,000 images, 1,000 steps). A fifth of the training part is held out, twice
(MNIST: once); nothing is seen of a test part. The bound is written out here, without bayesnas, and
all scales and folds are fitted side by side, so that this takes minutes: numbers s for all weights
and biases; sqrt(2 / fan-in) (He et al. 2015) and 1 / sqrt(fan-in) (Neal 1996) for weights, 1 for
biases; one a layer, learned. "left" is the share of the weights whose density at zero is below 0.99
of that at the mode.
"""

from __future__ import annotations

import argparse
import itertools
import math

import torch
from defaults import NAMES, loaded
from torch import Tensor

HIDDEN, BATCH, BINS = 100, 128, 15
SCALES = ("1", "2", "sqrt(2 / fan-in)", "1 / sqrt(fan-in)", "learned")
FITS = {"mnist": (1000, 1, 6000)}
USUAL = (3000, 2, 100_000)  # steps, folds, most rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--scales", nargs="+", choices=SCALES, default=SCALES, metavar="SCALE")
    args = parser.parse_args()
    print("| data | prior scale | log loss | error | ECE | bound | left, % |")
    print("|---|---|---|---|---|---|---|")
    for name in args.data:
        torch.manual_seed(0)
        folds = Folds(name)
        nets = Nets(folds, args.scales)
        nets.fit(FITS.get(name, USUAL)[0])
        for scale, values in zip(args.scales, nets.figures(), strict=True):
            print(f"| {name} | {scale} | " + " | ".join(values) + " |", flush=True)


class Folds:
    """Rows to fit on and rows to judge by, ``[folds, rows, ...]``."""

    def __init__(self, name: str) -> None:
        x, y = rows_of(name)
        _, self.count, most = FITS.get(name, USUAL)
        rows = torch.randperm(min(len(x), most))
        held = len(rows) // 5
        cuts = [slice(i * held, (i + 1) * held) for i in range(self.count)]
        rest = [torch.cat([rows[: cut.start], rows[cut.stop :]]) for cut in cuts]
        self.take(x, y, rest, [rows[cut] for cut in cuts])

    def take(self, x: Tensor, y: Tensor, rest: list[Tensor], held: list[Tensor]) -> None:
        """Keep rows to fit on and to judge by, by their places in all rows."""
        self.numbers = y.is_floating_point()
        self.outputs = 1 if self.numbers else int(y.max()) + 1
        self.x, self.y = (torch.stack([part[r] for r in rest]) for part in (x, y))
        self.held_x, self.held_y = (torch.stack([part[h] for h in held]) for part in (x, y))


def rows_of(name: str) -> tuple[Tensor, Tensor]:
    """All rows of a data set but those of its test part."""
    data = loaded(name)
    parts = [part for part in (data.train, data.validation) if part is not None]
    x = torch.cat([part.x.float().flatten(1) for part in parts])
    return x, torch.cat([part.y for part in parts])


class Nets:
    """Nets of every scale and fold, their parameters ``[scales * folds, ...]``."""

    def __init__(self, folds: Folds, scales: tuple[str, ...]) -> None:
        self.folds, self.count, self.batch = folds, len(scales), BATCH
        widths = (folds.x.shape[-1], HIDDEN, folds.outputs)
        nets = self.count * folds.count
        self.means: list[Tensor] = []
        self.log_scales: list[Tensor] = []
        fixed = []
        for fan_in, fan_out in itertools.pairwise(widths):
            for shape in ((fan_out, fan_in), (fan_out,)):
                mean = (2 * torch.rand(nets, *shape) - 1) / math.sqrt(fan_in)
                self.means.append(mean.requires_grad_())
                self.log_scales.append(torch.full_like(mean, math.log(0.02)).requires_grad_())
                fixed.append([log_prior_scale(s, fan_in, len(shape)) for s in scales])
        self.prior = torch.tensor(fixed).repeat_interleave(folds.count, 1)  # [tensors, nets]
        self.learned = torch.zeros(2, nets, requires_grad=True)  # ln s of each layer
        is_learned = torch.tensor([s == "learned" for s in scales])
        self.is_learned = is_learned.repeat_interleave(folds.count)
        self.log_noise = torch.zeros(nets, requires_grad=True)

    def fit(self, steps: int) -> None:
        trained = [*self.means, *self.log_scales, self.learned, self.log_noise]
        optimizer = torch.optim.Adam(trained, lr=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        rows = self.folds.x.shape[1]
        order = torch.empty(0, dtype=torch.long)
        for _ in range(steps):
            if not len(order):
                order = torch.randperm(rows)
            now, order = order[: self.batch], order[self.batch :]
            log_lik = self.log_lik(self.draw(self.folds.x[:, now]), self.folds.y[:, now])
            loss = (self.kl() / rows - log_lik.mean(-1)).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    def kl(self) -> Tensor:
        """KL(q ‖ p) of every net, ``[nets]``."""
        terms = []
        for index, (mean, log_scale) in enumerate(zip(self.means, self.log_scales, strict=True)):
            log_prior = torch.where(self.is_learned, self.learned[index // 2], self.prior[index])
            log_prior = log_prior.reshape(-1, *[1] * (mean.ndim - 1))
            square = (2 * log_scale).exp() + mean.square()
            term = log_prior - log_scale + square / (2 * (2 * log_prior).exp()) - 0.5
            terms.append(term.flatten(1).sum(1))
        return torch.stack(terms).sum(0)

    def draw(self, x: Tensor) -> Tensor:
        """Outputs ``[nets, rows, outputs]`` of inputs ``[folds, rows, features]``."""
        h = x.repeat(self.count, 1, 1)
        for layer in (0, 2):
            mean = torch.baddbmm(self.means[layer + 1][:, None], h, self.means[layer].mT)
            squares = [(2 * log_scale).exp() for log_scale in self.log_scales[layer : layer + 2]]
            variance = torch.baddbmm(squares[1][:, None], h.square(), squares[0].mT)
            h = mean + variance.sqrt() * torch.randn_like(mean)
            h = h if layer else h.relu()
        return h

    def log_lik(self, output: Tensor, y: Tensor) -> Tensor:
        y = y.repeat(self.count, 1)
        if self.folds.numbers:
            noise = torch.distributions.Normal(output[..., 0], self.log_noise.exp()[:, None])
            log_lik: Tensor = noise.log_prob(y)
            return log_lik
        return output.log_softmax(-1).gather(2, y[..., None])[..., 0]

    @torch.no_grad()
    def figures(self, draws: int = 64) -> list[list[str]]:
        """What is printed of every scale."""
        x, y = self.folds.held_x, self.folds.held_y
        outputs = torch.stack([self.draw(x) for _ in range(draws)])
        log_lik = torch.stack([self.log_lik(output, y) for output in outputs])
        nll = math.log(draws) - log_lik.logsumexp(0)
        seen = torch.stack([self.log_lik(self.draw(self.folds.x), self.folds.y) for _ in range(8)])
        bound = seen.mean((0, 2)) - self.kl() / self.folds.x.shape[1]
        left = [
            (mean.square() / (2 * (2 * log_scale).exp()) > -math.log(0.99)).float().flatten(1)
            for mean, log_scale in zip(self.means, self.log_scales, strict=True)
        ]
        y = y.repeat(self.count, 1)
        if self.folds.numbers:
            error = (outputs.mean(0)[..., 0] - y).square().mean(1).sqrt()
            ece = [""] * self.count
        else:
            sure, label = outputs.softmax(-1).mean(0).max(-1)
            hit = (label == y).float()
            error = 100 * (1 - hit.mean(1))
            pairs = zip(self._by_scale(sure), self._by_scale(hit), strict=True)
            ece = [f"{calibration_error(*pair):.3f}" for pair in pairs]
        means = [self._by_scale(v).mean(1) for v in (nll, error, bound, 100 * torch.cat(left, 1))]
        return [
            [f"{loss:.3f}", f"{wrong:.3g}", calibrated, f"{bounded:.3f}", f"{share:.0f}"]
            for loss, wrong, bounded, share, calibrated in zip(*means, ece, strict=True)
        ]

    def _by_scale(self, value: Tensor) -> Tensor:
        return value.reshape(self.count, -1)


def log_prior_scale(scale: str, fan_in: int, dims: int) -> float:
    """Ln s of the weights (two dims) or biases of a layer; of "learned" it does not matter."""
    by_fan_in = {"sqrt(2 / fan-in)": 2 / fan_in, "1 / sqrt(fan-in)": 1 / fan_in}
    if scale in by_fan_in:
        return 0.5 * math.log(by_fan_in[scale]) if dims > 1 else 0.0
    return 0.0 if scale == "learned" else math.log(float(scale))


def calibration_error(sure: Tensor, hit: Tensor) -> float:
    bins = (sure * BINS).long().clamp(max=BINS - 1)
    gaps = torch.zeros(BINS).index_add_(0, bins, sure - hit)
    return float(gaps.abs().sum()) / len(sure)


if __name__ == "__main__":
    main()
