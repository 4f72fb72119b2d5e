"""All that is measured, each piece kept in the folder once it is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from torch import Tensor

from bayesnas.models import ArdVae
from bayesnas.models.base import BayesianModel
from bayesnas.reproductions.ard_vae.factors import CurvePoint, active_factors, curve
from bayesnas.reproductions.ard_vae.fits import Fits
from bayesnas.reproductions.ard_vae.measure import Measured, measured
from bayesnas.reproductions.ard_vae.settings import KINDS, Settings
from bayesnas.reproductions.base import Request
from bayesnas.tensor_files import read_json, write_json


@dataclass(frozen=True)
class Results:
    """All that was measured.

    Attributes:
        images: of each kind of model at λ = 1, one a start.
        by_kl_weight: of the fit over all λ, one a λ.
        factors: active dimensions on linear-Gaussian data, by number of factors, one a seed.
        curve: linear-Gaussian data along λ.
    """

    images: dict[str, list[Measured]]
    by_kl_weight: dict[float, Measured]
    factors: dict[int, list[dict[str, int]]]
    curve: list[CurvePoint]


def measured_results(request: Request, settings: Settings, fits: Fits, test: Tensor) -> Results:
    """Measure what is not in the folder yet.

    Args:
        request: folder and whom to tell.
        settings: of the whole.
        fits: to images.
        test: images to measure on.
    """

    def at_one(kind: str, seed: int) -> dict[str, Any]:
        model = ard_vae(fits.at_one(kind, seed).model)
        return asdict(measured(model, test, settings.examples, settings.importance_draws))

    def at(kl_weight: float) -> dict[str, Any]:
        model = ard_vae(fits.over_range().at(kl_weight).model)
        return asdict(measured(model, test, settings.examples))

    def factors(d: int, seed: int) -> dict[str, int]:
        request.say(f"{d} factors, seed {seed}")
        return active_factors(d, seed, settings.factor_latents, settings.factor_steps)

    def points() -> list[dict[str, Any]]:
        request.say("linear-Gaussian data along λ")
        return [asdict(point) for point in curve(settings.curve_steps)]

    kept = partial(_kept, request)
    return Results(
        images={
            kind: [
                Measured(**kept(f"{kind}-{seed}", partial(at_one, kind, seed)))
                for seed in settings.seeds
            ]
            for kind in KINDS
        },
        by_kl_weight={
            kl_weight: Measured(**kept(f"along-{kl_weight:g}", partial(at, kl_weight)))
            for kl_weight in settings.kl_weights
        },
        factors={
            d: [
                kept(f"factors-{d}-{seed}", partial(factors, d, seed))
                for seed in range(settings.factor_seeds)
            ]
            for d in settings.factors
        },
        curve=[CurvePoint(**point) for point in kept("curve", points)],
    )


def ard_vae(model: BayesianModel) -> ArdVae:
    """The model of a posterior, whose class is known here."""
    assert isinstance(model, ArdVae)
    return model


def _kept(request: Request, name: str, measure: Callable[[], Any]) -> Any:
    """What was measured, from the folder where it is there."""
    path = request.out / "measured" / f"{name}.json"
    if not path.exists():
        value = measure()
        path.parent.mkdir(exist_ok=True)
        write_json(path, {"found": value})
    return read_json(path)["found"]
