"""The methods that are compared, and the settings of the whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import bayesnas as bn
from bayesnas.data import DataSet
from bayesnas.models import GaussianNet
from bayesnas.nn.hypernetworks.options import Amortize
from bayesnas.reproductions.base import Request
from bayesnas.reproductions.small_data import small_data
from bayesnas.reproductions.varhypernet import published

HIDDEN = 50
PRIOR_SCALE = 0.1
_INITIAL_SCALE = 0.0183  # e⁻⁴


@dataclass(frozen=True)
class Method:
    """One row of the published tables, or one of ours.

    Attributes:
        key: letter in the source, or the next ones.
        title: what it is.
        lr: learning rate at the start, cosine down to 0.
        amortize: map from λ to the parameters; None for fits at one λ each.
        base: the method whose posteriors are trained on for an epoch; None for one of its own.
        long: as many epochs as the table asks for, or one.
    """

    key: str
    title: str
    lr: float
    amortize: Amortize | None = None
    base: str | None = None
    long: bool = True


METHODS = {
    method.key: method
    for method in (
        Method("a", "direct", 2e-3),
        Method("b", "direct, one epoch", 2e-2, long=False),
        Method("c", "low rank", 5e-3, "low-rank"),
        Method("d", "low rank + one epoch", 4e-3, base="c", long=False),
        Method("e", "linear", 4e-3, "linear"),
        Method("f", "linear + one epoch", 4e-3, base="e", long=False),
        Method("g", "piecewise", 6e-3, "piecewise"),
        Method("h", "piecewise + one epoch", 4e-3, base="g", long=False),
    )
}


@dataclass(frozen=True)
class Settings:
    """What decides the numbers, besides the methods.

    Attributes:
        data: name of the data set.
        examples: of the training part.
        epochs: of a fit that is not cut to one.
        batch_size: examples in a batch.
        starts: fits of each kind.
        draws: draws of the weights behind 𝓛.
        lr_factor: on the learning rates of the methods, for runs of fewer steps.
        seed: of everything random; not 0, with which the learning rates were chosen.
    """

    data: str
    examples: int
    epochs: int
    batch_size: int
    starts: int
    draws: int
    lr_factor: float = 1.0
    seed: int = 1

    @property
    def scale(self) -> float:
        """Examples over those of the source.

        λ is scaled by it in a fit, so that log-likelihood and KL weigh against each other as in
        the source, and 𝓛 is divided by it.
        """
        return self.examples / published.EXAMPLES

    def to_dict(self) -> dict[str, Any]:
        """All settings and those of the methods, as JSON values."""
        return {
            **asdict(self),
            "hidden": HIDDEN,
            "prior_scale": PRIOR_SCALE,
            "initial_scale": _INITIAL_SCALE,
            "kl_weights": list(published.KL_WEIGHTS),
            "lr": {key: method.lr for key, method in METHODS.items()},
        }

    def lr_of(self, method: Method) -> float:
        """Learning rate at the start; an epoch of fine-tuning keeps its own."""
        return method.lr * (self.lr_factor if method.base is None else 1.0)

    def epochs_of(self, method: Method) -> int:
        """Epochs of one fit."""
        return self.epochs if method.long else 1


def prepare(request: Request) -> tuple[Settings, DataSet]:
    """Data and settings of a request."""
    if not request.quick:
        data = bn.data.load("mnist", root=request.root)
        starts = published.STARTS if request.seeds is None else request.seeds
        return Settings(data.name, len(data.train), published.EPOCHS, 256, starts, draws=16), data
    data = small_data(request.root)
    epochs = 25 if data.name == "digits" else 5
    starts = 1 if request.seeds is None else request.seeds
    return Settings(data.name, len(data.train), epochs, 64, starts, draws=4, lr_factor=3.0), data


def build_model(data: DataSet) -> GaussianNet:
    """The network of the source, for images of any size."""
    assert data.info.classes is not None
    inputs = data.train.x[0].numel()
    net = bn.nn.mlp([inputs, HIDDEN, data.info.classes])
    return GaussianNet(net, prior_scale=PRIOR_SCALE, initial_scale=_INITIAL_SCALE)
