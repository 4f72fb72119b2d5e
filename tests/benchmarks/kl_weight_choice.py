"""Does a λ chosen on held-out rows, or a temperature, predict other rows better than λ = 1?

.venv/bin/python tests/benchmarks/kl_weight_choice.py              # the table of docs/defaults.md
.venv/bin/python tests/benchmarks/kl_weight_choice.py --data wine

A GaussianNet of 100 hidden units at six λ, each fitted alone, written out without bayesnas (see
prior_scales.py), 1,500 steps of Adam in batches of 64 (images: the first rows, 800 steps). The
training part is cut into fifths; one is chosen by, the next judged by, the others fitted on, three
times (images: once). Nothing is seen of a test part. Figures of the judged rows of all turns:

- λ = 1, and two constants;
- best: the λ whose log loss is the lowest on the rows to choose by;
- one SE: the largest whose log loss is not above that by more than one standard error of the
  difference, row by row (Breiman et al. 1984, but paired);
- temperature: the fit at λ = 1, its predictive density to the power 1 / T and normalised, T of the
  lowest log loss on the rows to choose by (Guo et al. 2017); of numbers, the scale of a normal one.

"sure" is mean confidence less accuracy, in per cent; of numbers, the share of targets in central
90 % intervals less 90 %, its sign turned. "λ" are those that were chosen.
"""

from __future__ import annotations

import argparse
import math

import torch
from defaults import NAMES
from prior_scales import Folds, Nets, rows_of
from torch import Tensor

KL_WEIGHTS = (1.0, 0.55, 0.3, 0.17, 0.1, 0.03)
CONSTANTS = (0, 2, 4)
FIFTHS = 5
FITS = {"mnist": (800, 1, 6000), "fashion-mnist": (800, 1, 3615)}
USUAL = (1500, 3, 100_000)  # steps, turns, most rows
TEMPERATURES = torch.logspace(-1, 1, 81)
INTERVAL = 1.6449  # standard deviations to either side of 90 %


class Turns(Folds):
    """Rows to fit on, to choose by and to judge by (``held``: both, one after the other)."""

    def __init__(self, name: str) -> None:
        x, y = rows_of(name)
        _, self.count, most = FITS.get(name, USUAL)
        self.fifth = min(len(x), most) // FIFTHS
        rows = torch.randperm(len(x) if len(x) < most else most)[: FIFTHS * self.fifth]
        fifths = rows.reshape(FIFTHS, self.fifth)
        turned = [fifths.roll(-turn, 0).flatten() for turn in range(self.count)]
        held = [order[: 2 * self.fifth] for order in turned]
        rest = [order[2 * self.fifth :] for order in turned]
        self.take(x, y, rest, held)


class NetsAlongKLWeight(Nets):
    """Nets of prior scale 1 at every λ and turn."""

    def __init__(self, turns: Turns) -> None:
        super().__init__(turns, ("1",) * len(KL_WEIGHTS))
        self.batch = 64
        self.kl_weights = torch.tensor(KL_WEIGHTS).repeat_interleave(turns.count)

    def kl(self) -> Tensor:
        return self.kl_weights * super().kl()

    @torch.no_grad()
    def predictions(self, draws: int = 64) -> tuple[Tensor, Tensor]:
        """Log-likelihoods, and probabilities or mean and scale, ``[λ, turns, rows, ...]``."""
        outputs = torch.stack([self.draw(self.folds.held_x) for _ in range(draws)])
        log_lik = torch.stack([self.log_lik(output, self.folds.held_y) for output in outputs])
        log_lik = log_lik.logsumexp(0) - math.log(draws)
        if self.folds.numbers:
            noise = (2 * self.log_noise).exp()[:, None]
            mean, variance = outputs[..., 0].mean(0), outputs[..., 0].var(0) + noise
            shown = torch.stack([mean, variance.sqrt()], -1)
        else:
            shown = outputs.softmax(-1).mean(0)
        shape = (len(KL_WEIGHTS), self.folds.count)
        return log_lik.unflatten(0, shape), shown.unflatten(0, shape)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=NAMES, default=NAMES)
    args = parser.parse_args()
    print("| data | rows to choose by | chosen | log loss | error | sure, % | λ |")
    print("|---|---|---|---|---|---|---|")
    for name in args.data:
        torch.manual_seed(0)
        turns = Turns(name)
        nets = NetsAlongKLWeight(turns)
        nets.fit(FITS.get(name, USUAL)[0])
        for line in lines(turns, *nets.predictions()):
            print(f"| {name} | {turns.fifth} | {line} |", flush=True)


def lines(turns: Turns, log_lik: Tensor, shown: Tensor) -> list[str]:
    """What is printed of every way of choosing."""
    fifth, every = turns.fifth, torch.arange(turns.count)
    loss, judged = -log_lik[:, :, :fifth], -log_lik[:, :, fifth:]
    after, y = shown[:, :, fifth:], turns.held_y[:, fifth:]
    ways = {f"λ = {KL_WEIGHTS[i]:g}": torch.full((turns.count,), i) for i in CONSTANTS}
    ways["best λ"] = loss.mean(-1).argmin(0)
    ways["one SE"] = within_one_error(loss)
    made = []
    for way, index in ways.items():
        chosen = " ".join(f"{KL_WEIGHTS[i]:g}" for i in index) if "=" not in way else ""
        figures = of_predictions(after[index, every], y, turns.numbers)
        made.append(f"{way} | {judged[index, every].mean():.3f} | {figures} | {chosen}")
    scaled = [at_temperature(shown[0, turn], turns.held_y[turn], fifth) for turn in every]
    nll = torch.stack([each[0] for each in scaled]).mean()
    figures = of_predictions(torch.stack([each[1] for each in scaled]), y, turns.numbers)
    made.append(
        f"temperature | {nll:.3f} | {figures} | T {' '.join(f'{t:.2g}' for *_, t in scaled)}"
    )
    return made


def within_one_error(loss: Tensor) -> Tensor:
    """Index of the largest λ of every turn, ``[turns]``, of losses ``[λ, turns, rows]``."""
    best = loss.mean(-1).argmin(0)
    above = loss - loss.gather(0, best[None, :, None].expand(1, -1, loss.shape[-1]))
    fine = above.mean(-1) <= above.std(-1) / math.sqrt(loss.shape[-1])
    return fine.int().argmax(0)  # λ fall: the first that is fine is the largest


def of_predictions(shown: Tensor, y: Tensor, numbers: bool) -> str:
    if numbers:
        mean, scale = shown.unbind(-1)
        covered = ((y - mean).abs() <= INTERVAL * scale).double().mean()
        return f"{(mean - y).square().mean().sqrt():.3f} | {100 * (0.9 - covered):.1f}"
    sure, label = shown.max(-1)
    hit = (label == y).float()
    return f"{100 * (1 - hit.mean()):.2f} | {100 * (sure - hit).mean():.1f}"


def at_temperature(shown: Tensor, y: Tensor, fifth: int) -> tuple[Tensor, Tensor, float]:
    """Log loss and predictions of the judged rows, and the temperature."""
    by_heat = [heated(shown, y, float(heat)) for heat in TEMPERATURES]
    best = min(by_heat, key=lambda each: float(each[0][:fifth].mean()))
    return best[0][fifth:].mean(), best[1][fifth:], best[2]


def heated(shown: Tensor, y: Tensor, heat: float) -> tuple[Tensor, Tensor, float]:
    if y.is_floating_point():
        mean, scale = shown.unbind(-1)
        normal = torch.distributions.Normal(mean, heat * scale)
        return -normal.log_prob(y), torch.stack([mean, heat * scale], -1), heat
    warmer = (shown.clamp(min=1e-30).log() / heat).log_softmax(-1)
    return -warmer.gather(-1, y[:, None])[:, 0], warmer.exp(), heat


if __name__ == "__main__":
    main()
