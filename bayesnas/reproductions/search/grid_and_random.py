"""Grid against random search where two of nine dimensions matter (Bergstra, Bengio 2012)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesnas.inference.search import Categorical, SearchSpace
from bayesnas.reproductions.base import Comparison, Request
from bayesnas.reproductions.search.parts import Part, PartRecord

DIMENSIONS, MATTER, LEVELS = 9, 2, 2
TRIALS = LEVELS**DIMENSIONS  # 512
WIDTHS = (0.05, 0.1, 0.2)
_SEED = 1


def settings(request: Request) -> Mapping[str, Any]:
    """Experiments: 2,000, or 200 where it is to be quick."""
    return {"experiments": 200 if request.quick else 2_000, "widths": list(WIDTHS)}


def run(request: Request, given: Mapping[str, Any]) -> Part:
    """Throw targets, and count how often either search has a trial in one.

    The target is |xᵢ − cᵢ| < w/2 in the dimensions that matter, c uniform where it is whole.
    """
    request.say(f"grid and random search, {TRIALS} trials in {DIMENSIONS} dimensions")
    grid, comparisons = grid_points(), []
    for width in given["widths"]:
        hits = np.array(
            [_hits(width, grid, [_SEED, index]) for index in range(given["experiments"])]
        )
        for name, exact, hit in zip(
            ("random", "grid"), (random_success(width), grid_success(width)), hits.T, strict=True
        ):
            labels = {"search": name, "w": f"{width:g}"}
            comparisons.append(
                Comparison(labels, "probability of a hit", exact, (float(hit.mean()),))
            )
    remarks = [
        f"Grid and random: {TRIALS} trials, {MATTER} of {DIMENSIONS} dimensions matter, "
        f"{given['experiments']:,} targets a width; in brackets the exact probability."
    ]
    return Part(comparisons, remarks)


PART = PartRecord(settings, run)


def grid_points() -> np.ndarray:
    """Of the grid, in the dimensions that matter ``[trials, 2]``: only four differ."""
    centres = tuple((level + 0.5) / LEVELS for level in range(LEVELS))
    space = SearchSpace({f"x{i}": Categorical(centres) for i in range(DIMENSIONS)})
    return np.array([[c[f"x{i}"] for i in range(MATTER)] for c in space.candidates()], dtype=float)


def random_success(width: float) -> float:
    """1 − (1 − w²)^n: each of n trials hits by itself."""
    return float(1 - (1 - width**MATTER) ** TRIALS)


def grid_success(width: float) -> float:
    """(g w / (1 − w))²: in a dimension c ~ U(w/2, 1 − w/2) has a level within w/2.

    For w ≤ 1/(2 g), where no two levels are near the same c, and none is near an end.
    """
    if width > 1 / (2 * LEVELS):
        raise ValueError(f"width must be at most {1 / (2 * LEVELS)}, got {width}")
    return float((LEVELS * width / (1 - width)) ** MATTER)


def _hits(width: float, grid: np.ndarray, seed: list[int]) -> tuple[bool, bool]:
    generator = np.random.default_rng(seed)
    target = generator.uniform(width / 2, 1 - width / 2, MATTER)
    trials = generator.uniform(size=(TRIALS, DIMENSIONS))[:, :MATTER]
    return _inside(trials, target, width), _inside(grid, target, width)


def _inside(points: np.ndarray, target: np.ndarray, width: float) -> bool:
    return bool((np.abs(points - target) < width / 2).all(1).any())
