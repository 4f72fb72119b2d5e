"""The searches behind the architectures, each in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bayesnas.inference import AmortizedPosterior, Posterior
from bayesnas.inference.search import darts, darts_cc, random_architecture
from bayesnas.models.latent_structure import LatentStructureNet
from bayesnas.nn.graph import Graph
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
        self._found: dict[str, Posterior | AmortizedPosterior] = {}

    def along(self, start: int, place: float) -> Graph:
        """The architecture that one search along λ̃ found at a place of the range."""
        return self.model_along(start, place).architecture()

    def model_along(self, start: int, place: float) -> LatentStructureNet:
        """The model behind it."""
        key = f"cc-{start}"
        if key not in self._found:
            self._request.say(f"{self._data.name}: search {start} along λ̃")
            of_range = {name: getattr(self._settings, name) for name in ("low", "high", "knots")}
            options = self._options(key, start) | of_range
            self._found[key] = darts_cc(*self._problem(), **options)
        found = self._found[key]
        assert isinstance(found, AmortizedPosterior)
        weight = self._settings.cost_weight(place) * len(self._data.structure[0])
        return _model(found.at(weight))

    def darts(self, start: int) -> Graph:
        """What DARTS of the first order found."""
        key = f"darts-{start}"
        if key not in self._found:
            self._request.say(f"{self._data.name}: DARTS {start}")
            self._found[key] = darts(*self._problem(), **self._options(key, start))
        found = self._found[key]
        assert isinstance(found, Posterior)
        return _model(found).architecture()

    def random(self, index: int) -> Graph:
        """A random architecture."""
        return random_architecture(self._problem()[0], seed=index)

    def _problem(self) -> tuple[Graph, Part, Part]:
        """The space, and the images of either level."""
        graph = self._settings.graph(self._data.train[0].shape[-1])
        return graph, self._data.weights, self._data.structure

    def _options(self, key: str, start: int) -> dict[str, Any]:
        return {
            "steps": self._settings.search_steps,
            "lr": self._settings.search_lr,
            "structure_lr": self._settings.structure_lr,
            "start": self._settings.start,
            "seed": start,
            "device": self._request.device,
            "compile": False,
            "progress": self._request.progress,
            "out": self._folder / key,
            "resume": True,
        }


def _model(found: Posterior) -> LatentStructureNet:
    assert isinstance(found.model, LatentStructureNet)
    return found.model
