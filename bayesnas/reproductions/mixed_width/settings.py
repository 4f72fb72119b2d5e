"""What is fitted, on which images, and with which coefficients."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

import bayesnas as bn
from bayesnas.data import DataSet
from bayesnas.inference import GeneralisedObjective
from bayesnas.reproductions.base import Request

Part = tuple[Tensor, Tensor]
"""Images ``[n, d]`` with values in [0, 1], and classes."""

NOISE = (0.0, 0.25, 0.5, 1.0)
"""Standard deviations of the noise on the inputs of the test images."""
CLASSES = 10
LAYERS = 4
SAMPLE = 3_000.0
TEMPERATURE = (1.0, 0.2)
INITIAL_SCALE = 0.05
"""Standard deviation of every weight at the start of a fit."""


@dataclass(frozen=True)
class Settings:
    """What decides the numbers.

    Attributes:
        data: names of the data sets.
        starts: seeds, each of a search for Γ and of a random search.
        side: images are brought to this many pixels a side.
        layers: of mixed width.
        widths: options of every layer beside the identity.
        train: most training images.
        validation: images held out of the training part, by which random search chooses.
        test: most test images.
        trials: of a random search.
        sample: m/λ, the sample size that λ^prior_Q = λ^prior_L = λ makes of m training images.
        steps, batch, lr: of every fit.
        cost_scale: c of the prior of Γ at the start, ln s = −n/c with n the weights of an option.
        temperature: of γ, from the first step to the last.
    """

    data: tuple[str, ...]
    starts: int
    side: int
    layers: int
    widths: tuple[int, ...]
    train: int
    validation: int
    test: int
    trials: int
    sample: float
    steps: int
    batch: int
    lr: float
    cost_scale: float
    temperature: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """All of them, as JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @property
    def inputs(self) -> int:
        """Pixels of an image."""
        return self.side**2


def settings_of(request: Request) -> Settings:
    """Those of the page; quick: the digits, one seed and few steps."""
    if request.quick:
        return Settings(
            data=("digits",), starts=request.seeds or 1, side=8, layers=LAYERS,
            widths=(8, 16, 32, 64), train=1_000, validation=300, test=300, trials=3,
            sample=SAMPLE, steps=300, batch=100, lr=0.02, cost_scale=1_000.0,
            temperature=TEMPERATURE,
        )  # fmt: skip
    return Settings(
        data=("mnist", "fashion-mnist"), starts=request.seeds or 3, side=14, layers=LAYERS,
        widths=(16, 32, 64, 128, 196), train=58_000, validation=600, test=10_000, trials=4,
        sample=SAMPLE, steps=1_000, batch=125, lr=0.02, cost_scale=6_000.0,
        temperature=TEMPERATURE,
    )  # fmt: skip


def objective(settings: Settings, count: int) -> GeneralisedObjective:
    """The objective of every fit: one joint step for h and θ.

    Args:
        settings: the size of sample to be made of the training images.
        count: m, how many they are.
    """
    weight = count / settings.sample
    return GeneralisedObjective(kl_weight_lower=weight, kl_weight_upper=weight)


@dataclass(frozen=True)
class Images:
    """One data set, cut up.

    Attributes:
        name: of the data set.
        train: for all fits.
        validation: by which random search chooses.
        test: for the figures.
    """

    name: str
    train: Part
    validation: Part
    test: Part


def images(name: str, settings: Settings, root: str | None) -> Images:
    """Load and cut; the held-out images are the last ones of the training part.

    Args:
        name: of the data set.
        settings: sizes.
        root: folder of downloaded data sets, None for the usual one.
    """
    data: DataSet = bn.data.load(name, root=root)
    assert data.test is not None
    x, y = scaled(data.train.x, settings.side), data.train.y
    fitted = len(x) - settings.validation
    train = min(settings.train, fitted)
    test = scaled(data.test.x[: settings.test], settings.side), data.test.y[: settings.test]
    return Images(name, (x[:train], y[:train]), (x[fitted:], y[fitted:]), test)


def scaled(x: Tensor, side: int) -> Tensor:
    """Images as rows of ``side ** 2`` values: padded by zeros to a multiple, and averaged.

    Args:
        x: ``[n, 1, h, w]`` or rows of a square image, ``[n, h ** 2]``.
        side: of the result, at most h.

    >>> import torch
    >>> scaled(torch.ones(1, 1, 28, 28), 16).shape
    torch.Size([1, 256])
    """
    whole = round((x[0].numel()) ** 0.5)
    times = -(-whole // side)
    margin = times * side - whole
    low = margin // 2
    padded = F.pad(x.reshape(-1, 1, whole, whole), (low, margin - low, low, margin - low))
    return F.avg_pool2d(padded, times).flatten(1)
