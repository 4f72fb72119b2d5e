"""The searches behind the architectures, each in a folder of its own."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from bayesnas.inference import AmortizedPosterior, Posterior
from bayesnas.inference.search import darts, darts_cc
from bayesnas.models.architecture.latent_structure import LatentStructureNet
from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.graphs.random_architectures import random_architecture
from bayesnas.reproductions.base import Request
from bayesnas.reproductions.darts_cc.settings import Images, Part, Settings


class Searches:
    """Architectures of a data set: searched where that is not done yet, else loaded.

    Args:
        folder: of all runs.
        data: what is searched on.
        settings: of the whole.
        request: device, progress, and whom to tell.
    """

    def __init__(self, folder: Path, data: Images, settings: Settings, request: Request) -> None:
        """Search nothing yet; see the class."""
        self._folder, self._data, self._settings = folder, data, settings
        self._request = request
        self._fits: dict[str, Posterior | AmortizedPosterior] = {}

    def architecture(self, start: int, place: float) -> Graph:
        """The architecture that one search along λ̃ found at a place of the range."""
        return self.model(start, place).architecture()

    def model(self, start: int, place: float) -> LatentStructureNet:
        """The model behind it."""
        key = f"cc-{start}"
        if key not in self._fits:
            self._request.say(f"{self._data.name}: search {start} along λ̃")
            low, high = self._cost_weight(0.0), self._cost_weight(1.0)
            of_range = {"low": low, "high": high, "knots": self._settings.knots, "monotone": True}
            options = self._options(key, start) | of_range
            self._fits[key] = darts_cc(*self._problem(), **options)
        post = self._fits[key]
        assert isinstance(post, AmortizedPosterior)
        return _model(post.at(self._cost_weight(place) * len(self._data.structure[0])))

    def darts(self, start: int) -> Graph:
        """What DARTS of the first order found."""
        key = f"darts-{start}"
        if key not in self._fits:
            self._request.say(f"{self._data.name}: DARTS {start}")
            self._fits[key] = darts(*self._problem(), **self._options(key, start))
        post = self._fits[key]
        assert isinstance(post, Posterior)
        return _model(post).architecture()

    def random(self, index: int) -> Graph:
        """A random architecture; all of them spread over all sizes."""
        size = self._settings.random_size(index, self._space)
        return random_architecture(self._space, index, size)

    def _cost_weight(self, place: float) -> float:
        return self._settings.cost_weight(place, self._space)

    @functools.cached_property
    def _space(self) -> Graph:
        return self._settings.graph(self._data.train[0].shape[-1])

    def _problem(self) -> tuple[Graph, Part, Part]:
        """The space, and the images of either level."""
        return self._space, self._data.weights, self._data.structure

    def _options(self, key: str, start: int) -> dict[str, Any]:
        return {
            "steps": self._settings.search_steps,
            "lr": self._settings.search_lr,
            "structure_lr": self._settings.structure_lr,
            "structure_schedule": "cosine",
            "start": self._settings.start,
            "seed": start,
            "device": self._request.device,
            "compile": False,
            "progress": self._request.progress,
            "out": self._folder / key,
            "resume": True,
        }


def _model(post: Posterior) -> LatentStructureNet:
    assert isinstance(post.model, LatentStructureNet)
    return post.model
