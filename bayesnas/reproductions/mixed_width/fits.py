"""A search for Γ, a random search beside it, and the training of the networks they choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

import bayesnas as bn
from bayesnas.inference import Posterior, fit, load
from bayesnas.inference.search.run import search
from bayesnas.inference.search.space import Candidate
from bayesnas.models.base import BayesianModel
from bayesnas.models.networks.gaussian import GaussianNet
from bayesnas.nn.graphs.topology import edge_name
from bayesnas.reproductions.accuracies import accuracy
from bayesnas.reproductions.base import Request
from bayesnas.reproductions.mixed_width.network import (
    MixedWidthNet,
    mixed_width_graph,
    narrow_widths,
    option_costs,
    parameter_count,
)
from bayesnas.reproductions.mixed_width.settings import (
    CLASSES,
    INITIAL_SCALE,
    NOISE,
    Images,
    Part,
    Settings,
    objective,
)
from bayesnas.tensor_files import read_json, write_json


@dataclass(frozen=True)
class Trained:
    """A network of chosen widths, trained from fresh weights.

    Attributes:
        options: of every layer.
        parameters: weights and biases.
        validation: accuracy on the held-out images.
        test: accuracies on the test images with noise of each of ``NOISE`` on their inputs.
    """

    options: tuple[str, ...]
    parameters: int
    validation: float
    test: tuple[float, ...]


@dataclass(frozen=True)
class Compared:
    """What came of one start.

    Attributes:
        proposed: the network that Γ chose.
        random: those of the random search.
    """

    proposed: Trained
    random: tuple[Trained, ...]

    @property
    def best(self) -> Trained:
        """The random network of the highest accuracy on held-out images, the first of equals."""
        return max(self.random, key=lambda one: one.validation)

    @property
    def share(self) -> float:
        """Parameters of the chosen network in units of those of the best random one."""
        return self.proposed.parameters / self.best.parameters


class Study:
    """All that is fitted on one data set; what the folder holds is not fitted again.

    Args:
        images: the data set.
        settings: of everything.
        request: folder, device, whom to tell.
    """

    def __init__(self, images: Images, settings: Settings, request: Request) -> None:
        """Keep the three; see the class."""
        self._images, self._settings, self._request = images, settings, request
        self._out = request.out / images.name
        self._graph = mixed_width_graph(settings.inputs, settings.layers, settings.widths, CLASSES)

    def compared(self, start: int) -> Compared:
        """Both searches of one start."""
        return Compared(self.proposed(start), tuple(self.random(start)))

    def searched(self, start: int) -> Posterior:
        """The fit of Γ, weights and hyperparameters by the generalised objective."""
        settings = self._settings
        model = MixedWidthNet(
            self._graph,
            structure_prior="learned",
            cost=option_costs(self._graph),
            cost_scale=settings.cost_scale,
            prior_scale="learned",
            temperature=settings.temperature,
            initial_scale=INITIAL_SCALE,
        )
        folder = self._out / f"search-{start}"
        if not (folder / "posterior.safetensors").exists():
            self._request.say(f"{self._images.name}: search {start}")
            return self._fit(model, start, out=folder, resume=True)
        post = load(folder, model=model, device="cpu")
        assert isinstance(post, Posterior)
        return post

    def proposed(self, start: int) -> Trained:
        """The network of the likeliest options, trained."""
        return self._trained(likeliest(self.searched(start)), start)

    def random(self, start: int) -> list[Trained]:
        """Networks of options drawn alike, trained, in the order of their trials."""
        tried: list[Trained] = []

        def judge(candidate: Candidate) -> float:
            names = [str(candidate[edge_name(edge)]) for edge in self._graph.mixed]
            tried.append(self._trained(names, start))
            return tried[-1].validation

        search(
            self._graph,
            judge,
            "random",
            trials=self._settings.trials,
            objectives={"accuracy": "maximise"},
            seed=start,
        )
        return tried

    def _trained(self, options: Sequence[str], seed: int) -> Trained:
        """Train and test a network, or read what came of it before."""
        options = tuple(options)
        path = self._out / "networks" / f"{'-'.join(options)}-{seed}.json"
        if not path.exists():
            self._request.say(f"{self._images.name}: {', '.join(options)}, seed {seed}")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, asdict(self._measured(options, seed)))
        known: dict[str, Any] = read_json(path)
        return Trained(
            tuple(known["options"]),
            known["parameters"],
            known["validation"],
            tuple(known["test"]),
        )

    def _measured(self, options: tuple[str, ...], seed: int) -> Trained:
        inputs = self._settings.inputs
        model = GaussianNet(
            bn.nn.mlp(narrow_widths(options, inputs, CLASSES), "tanh"),
            prior_scale="learned",
            initial_scale=INITIAL_SCALE,
        )
        net = self._fit(model, seed).model.plain_module()
        parts = self._images
        return Trained(
            options,
            parameter_count(options, inputs, CLASSES),
            accuracy(net, *parts.validation),
            under_noise(net, parts.test, seed),
        )

    def _fit(self, model: BayesianModel, seed: int, **options: Any) -> Posterior:
        settings = self._settings
        post = fit(
            model,
            self._images.train,
            objective=objective(settings, len(self._images.train[0])),
            steps=settings.steps,
            batch_size=settings.batch,
            lr=settings.lr,
            seed=seed,
            device=self._request.device,
            compile="trace",
            progress=False,
            **options,
        )
        assert isinstance(post, Posterior)
        return post.to("cpu")


def likeliest(post: Posterior) -> list[str]:
    """The option of every layer that γ has its largest value at with the highest probability."""
    model = post.model
    assert isinstance(model, MixedWidthNet)
    by_edge = model.probabilities().items()
    return [model.graph.names[edge][int(shares.argmax())] for edge, shares in by_edge]


def under_noise(net: nn.Module, part: Part, seed: int) -> tuple[float, ...]:
    """Accuracies with noise of each of ``NOISE`` on the inputs; the draws follow from the seed.

    >>> under_noise(nn.Identity(), (torch.eye(2), torch.tensor([0, 1])), 0)[0]
    1.0
    """
    x, y = part
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    return tuple(accuracy(net, x + scale * noise, y) for scale in NOISE)
