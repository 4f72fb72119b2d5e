"""The toy experiment of the generalised objective: three functions, and a move between two.

Data of tanh(x₀) are fitted by a mixture of a constant, a function of x₀ and one of all inputs, with
weights γ on the simplex. The coefficients of the objective alone decide which function has the
mass; a structure weight then moves it to another.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from bayesnas.inference import Posterior, fit, load
from bayesnas.report.figure import write_figure
from bayesnas.reproductions.base import Comparison, Reproduced, Reproduction, Request, claim
from bayesnas.reproductions.generalised.barrier import WEIGHTS, Barrier
from bayesnas.reproductions.generalised.figures import simplex_figure
from bayesnas.reproductions.generalised.settings import (
    COEFFICIENTS,
    FROM,
    FUNCTIONS,
    ROWS,
    STRUCTURE_WEIGHT,
    STRUCTURE_WEIGHT_FROM,
    TRANSITION_TEMPERATURE,
    NormClippedAdam,
    Settings,
    model,
    objective,
    sample,
    settings_of,
)
from bayesnas.reproductions.tables import write_comparisons

REFERENCE = (
    "Bakhteev, Strijov, Deep learning model selection of suboptimal complexity, 2018; the toy "
    "experiment of Bakhteev, Meta-optimisation and structure, lecture, 2019"
)
REPELLED_FIT, REPELLED_FROM = "f0 → f1", "f0 → f1, from the fit of f0"
EXPECTED = {**{name: name for name in FUNCTIONS}, REPELLED_FIT: "f1", REPELLED_FROM: "f1"}
"""What each setting is published to put the mass on."""

FitsBySetting = dict[tuple[str, float], list[Posterior]]
"""By setting and temperature, a posterior for every seed."""


def run(request: Request) -> Reproduced:
    """Fit every setting at every temperature, and write tables and the picture of the simplex.

    Raises:
        ValueError: where the folder holds a reproduction with other settings.
    """
    settings = settings_of(quick=request.quick, seeds=request.seeds)
    claim(request.out, settings.to_dict())
    fits: FitsBySetting = {}
    starts = range(settings.starts)

    def fitted(name: str, temperature: float, weight: float = 0.0) -> list[Posterior]:
        request.say(f"{name} at temperature {temperature:g}, structure weight {weight:g}")
        return [_fitted(name, temperature, weight, seed, settings, request) for seed in starts]

    for temperature in settings.temperatures:
        for name in FUNCTIONS:
            fits[name, temperature] = fitted(name, temperature)
    at = TRANSITION_TEMPERATURE
    fits[REPELLED_FIT, at] = fitted(FROM, at, STRUCTURE_WEIGHT)
    request.say(f"from the fits of {FROM}, structure weight {STRUCTURE_WEIGHT_FROM:g}")
    fits[REPELLED_FROM, at] = [
        _moved(fits[FROM, at][seed], seed, settings, request) for seed in starts
    ]
    comparisons = [*compare(fits), *compare_barriers(Barrier())]
    files = write_comparisons(request.out, comparisons)
    files["simplex.png"] = request.out / "simplex.png"
    draws = {key: draws_of(posts) for key, posts in fits.items()}
    write_figure(simplex_figure(draws), files["simplex.png"])
    return Reproduced("generalised", settings.to_dict(), remarks(settings), comparisons, files)


REPRODUCTION = Reproduction(
    "structures chosen, and left, by the coefficients of the generalised objective", REFERENCE, run
)


def compare(fits: FitsBySetting) -> Iterator[Comparison]:
    """The share of seeds that end at the published function, and the probability it has."""
    for (name, temperature), posts in fits.items():
        expected = FUNCTIONS.index(EXPECTED[name])
        shares = [probabilities(post) for post in posts]
        hits = tuple(float(int(share.argmax()) == expected) for share in shares)
        labels = {"setting": name, "temperature": f"{temperature:g}"}
        published = None if name == REPELLED_FROM else 1.0
        yield Comparison(labels, "share of seeds at the published function", published, hits)
        values = tuple(float(share[expected]) for share in shares)
        yield Comparison(labels, "probability of that function", None, values)


def compare_barriers(barrier: Barrier) -> Iterator[Comparison]:
    """What Q loses on the best way from f₀ to f₁, by structure weight."""
    for weight in WEIGHTS:
        labels = {"λ struct": f"{weight:g}"}
        heights = (barrier.height(weight),)
        yield Comparison(labels, "barrier between f0 and f1, nats of Q", None, heights)


def probabilities(post: Posterior) -> Tensor:
    """P(arg max γ = k) under the guide, ``[3]``."""
    of_edge: Tensor = post.model.probabilities()["x", "y"]  # type: ignore[operator]
    return of_edge.cpu()


def draws_of(posts: list[Posterior], draws: int = 60) -> Tensor:
    """Draws of γ under the guides of all seeds, ``[seeds * draws, 3]``."""
    gammas = [post.sample(draws=draws, seed=0)["gamma"] for post in posts]
    return torch.cat([torch.as_tensor(gamma).reshape(-1, len(FUNCTIONS)) for gamma in gammas])


def remarks(settings: Settings) -> list[str]:
    """What was run, and what differs from the source."""
    return [
        f"{settings.starts} seeds of data and fits; {ROWS} rows, {settings.steps} steps of Adam "
        f"{settings.lr:g}, the norm of the gradient of the sums clipped at {settings.clip_norm:g}.",
        "(λ lik of Q, λ prior of Q, λ prior of L): "
        + "; ".join(f"{name} {values}" for name, values in COEFFICIENTS.items())
        + f". f0 → f1: the first with λ struct {STRUCTURE_WEIGHT:g} of both structure priors; from "
        f"fits that rest at f0, {STRUCTURE_WEIGHT_FROM:g}.",
        "One draw a step, where the source has three; the guide of γ has the temperature of its "
        "prior, where the source learns it; max(γ, 0.1) for γ in the prior scale of the weights.",
    ]


def _fitted(
    name: str, temperature: float, weight: float, seed: int, settings: Settings, request: Request
) -> Posterior:
    return _kept(
        request.out / f"{'repelled' if weight else 'fit'}-{name}-{temperature:g}-{seed}",
        partial(
            fit,
            model(temperature),
            sample(seed),
            objective=objective(name, weight),
            steps=settings.steps,
            lr=settings.lr,
            schedule="constant",
            batch_size=ROWS,
            seed=seed,
            optimizer=_optimizer(settings),
            device=request.device,
            compile="trace",
            progress=False,
        ),
    )


def _moved(before: Posterior, seed: int, settings: Settings, request: Request) -> Posterior:
    return _kept(
        request.out / f"moved-{seed}",
        partial(
            before.refine,
            sample(seed),
            objective=objective(FROM, STRUCTURE_WEIGHT_FROM),
            steps=settings.steps,
            optimizer=_optimizer(settings),
            compile="trace",
            progress=False,
        ),
    )


def _optimizer(settings: Settings) -> partial[NormClippedAdam]:
    # A fit differentiates the mean over examples.
    return partial(NormClippedAdam, clip_norm=settings.clip_norm / ROWS)


def _kept(folder: Path, make: partial[Posterior]) -> Posterior:
    """The posterior in a folder; made and saved where there is none."""
    if not (folder / "posterior.safetensors").exists():
        make().save(folder)
    post = load(folder, device="cpu")
    assert isinstance(post, Posterior)
    return post
