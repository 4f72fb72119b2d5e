"""What is done to a net: maximum likelihood, a first fit, and the ways down from there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import nn

from bayesnas.inference.compression.plain_networks.pretraining import Pretraining
from bayesnas.nn import GaussianNoise, convnet, mlp
from bayesnas.reproductions.bayesian_compression import published
from bayesnas.reproductions.bayesian_compression.published import Row

PRIORS = ("normal-jeffreys", "horseshoe")


@dataclass(frozen=True)
class Stage:
    """Remove down to a share of the weights, then fit on.

    Attributes:
        keep: at most so large a share of the net's weights stays; 1 removes nothing.
        kl_weight: λ of the fit.
        epochs: of the fit.
        lr: learning rate at its start.
    """

    keep: float
    kl_weight: float
    epochs: int
    lr: float


@dataclass(frozen=True)
class Recipe:
    """The way of one net.

    Attributes:
        name: of the reproduction.
        title: name of the net in tables.
        data: name of the data set.
        build: makes the net, a ``Sequential``.
        shape: of an image, if the net takes it flat; None if it takes it as it is.
        input_noise: standard deviation of the noise on the inputs while the net is trained or
            fitted, where the pixels are from 0 to 1.
        pretraining: what the net starts at.
        first: the fit of the whole net.
        groups: from there, whole groups go; none: that way is not gone.
        weights: single weights go, all layers together.
        weights_from: where that begins: at the first fit, ``"whole"``, or where ``"groups"`` end.
        batch_size: examples in a batch.
        published: rows of the source, by prior.
    """

    name: str
    title: str
    data: str
    build: Callable[[], nn.Sequential]
    shape: tuple[int, int] | None
    input_noise: float
    pretraining: Pretraining
    first: Stage
    groups: tuple[Stage, ...]
    weights: tuple[Stage, ...]
    weights_from: str
    batch_size: int
    published: Mapping[str, Row]

    def net(self) -> nn.Module:
        """A new net, with the noise in front."""
        net = self.build()
        if not self.input_noise:
            return net
        noise = GaussianNoise(self.input_noise)
        return nn.Sequential(OrderedDict(noise=noise, **dict(net.named_children())))

    @property
    def ways(self) -> dict[str, tuple[Stage, ...]]:
        """The stages of each way that is gone, by its name."""
        named = {"groups": self.groups, "weights": self.weights}
        return {name: stages for name, stages in named.items() if stages}

    def begins(self, way: str) -> str:
        """Where a way begins: ``"whole"``, the first fit, or where ``"groups"`` end."""
        return self.weights_from if way == "weights" else "whole"

    @property
    def ends(self) -> dict[str, str]:
        """What has been removed where a way ends that no other goes on from, by way."""
        if self.weights_from == "groups":
            return {"weights": "groups, then weights"}
        return {name: name for name in self.ways}

    def row(self, way: str, prior: str) -> Row | None:
        """The row of the source to set beside the end of a way."""
        whole_groups = way == "groups" or self.begins(way) == "groups"
        return self.published.get(prior if whole_groups else "sparse-vd")

    def to_dict(self) -> dict[str, Any]:
        """All that decides the numbers, as JSON values."""
        return {
            "net": self.title,
            "data": self.data,
            "input_noise": self.input_noise,
            "pretraining": {
                **asdict(self.pretraining),
                "dropout": list(self.pretraining.dropout),
            },
            "first": asdict(self.first),
            "groups": [asdict(stage) for stage in self.groups],
            "weights": [asdict(stage) for stage in self.weights],
            "weights_from": self.weights_from,
            "batch_size": self.batch_size,
        }


LENET_300_100 = Recipe(
    name="bayesian-compression",
    title="LeNet-300-100",
    data="mnist",
    build=lambda: mlp([784, 300, 100, 10]),
    shape=(28, 28),
    input_noise=0.2,
    pretraining=Pretraining(40, 2e-3, (0.0, 0.2, 0.2)),
    first=Stage(1.0, 0.05, 4, 3e-3),
    groups=(
        Stage(1.0, 0.1, 4, 5e-3),
        Stage(0.5, 0.03, 4, 5e-3),
        Stage(0.3, 0.03, 5, 5e-3),
        Stage(0.18, 0.03, 8, 5e-3),
        Stage(0.107, 0.03, 40, 5e-3),
    ),
    weights=(
        Stage(0.25, 0.2, 3, 5e-3),
        Stage(0.08, 0.2, 4, 5e-3),
        Stage(0.04, 0.2, 6, 5e-3),
        Stage(0.0218, 0.2, 24, 5e-3),
    ),
    weights_from="whole",
    batch_size=256,
    published=published.LENET_300_100,
)

LENET_5 = Recipe(
    name="bayesian-compression-lenet-5",
    title="LeNet-5-Caffe",
    data="mnist",
    build=convnet,
    shape=None,
    input_noise=0.15,
    pretraining=Pretraining(8, 2e-3, (0.0, 0.0, 0.2, 0.3)),
    first=Stage(1.0, 0.05, 2, 3e-3),
    groups=(
        Stage(1.0, 0.1, 3, 5e-3),
        Stage(0.4, 0.05, 2, 5e-3),
        Stage(0.15, 0.05, 3, 5e-3),
        Stage(0.06, 0.05, 4, 5e-3),
        Stage(0.03, 0.05, 6, 5e-3),
    ),
    weights=(Stage(0.0088, 0.1, 15, 5e-3),),
    weights_from="groups",
    batch_size=256,
    published=published.LENET_5,
)

QUICK = Recipe(
    name=LENET_300_100.name,
    title="64–40–20–10",
    data="digits",
    build=lambda: mlp([64, 40, 20, 10]),
    shape=(8, 8),
    input_noise=0.1,
    pretraining=Pretraining(30, 5e-3, (0.1, 0.1, 0.1)),
    first=Stage(1.0, 0.05, 30, 1e-2),
    groups=(Stage(0.5, 0.05, 10, 1e-2), Stage(0.25, 0.05, 20, 1e-2)),
    weights=(Stage(0.3, 0.2, 10, 1e-2), Stage(0.1, 0.2, 20, 1e-2)),
    weights_from="whole",
    batch_size=128,
    published={},
)

QUICK_LENET_5 = replace(
    QUICK,
    name=LENET_5.name,
    title="6–8–128–20",
    build=lambda: convnet((6, 8), (20,), image=8, kernel=3, pool=1),
    shape=None,
    pretraining=Pretraining(10, 5e-3, (0.0, 0.0, 0.1, 0.1)),
    first=Stage(1.0, 0.05, 15, 1e-2),
    weights=(Stage(0.1, 0.2, 20, 1e-2),),
    weights_from="groups",
)
