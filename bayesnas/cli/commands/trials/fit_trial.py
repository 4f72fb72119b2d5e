"""A trial of the command line: one ``bayesnas fit``, in a run folder of its own."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bayesnas as bn
from bayesnas.cli.arguments.trials import Varied
from bayesnas.cli.commands.fit import fit_settings, keep_config
from bayesnas.cli.graphs import read_graph
from bayesnas.cli.loading import AnyDataSet, load_data
from bayesnas.cli.main import read_words
from bayesnas.cli.make_model import model_of
from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.inference import Posterior
from bayesnas.inference.search import Categorical, Integer, Latency, LogReal, Real, SearchSpace
from bayesnas.inference.search.conditions import Value
from bayesnas.inference.search.judges.fits import folder_name, measures
from bayesnas.inference.search.variables import Variable

_KINDS = {"linear": Real, "log": LogReal}
_OF_A_MACHINE = ("--device", "--root", "--workers")  # another one may join the study
_HELD_OUT = "0.2"  # of the training rows, where a fit holds none out to be judged by


@dataclass(frozen=True)
class FitTrial:
    """Fits what the words of a command line and a candidate say together, and measures it.

    Attributes:
        words: behind ``bayesnas fit``, the same in all trials.
        folder: of the run folders.
        part: ``"validation"`` or ``"test"``, whose measures are given.
        draws: of the weights.
        graph: file of a graph, on whose edges the operations vary.
        latency: how that of the network is measured; None: it is not.
    """

    words: tuple[str, ...]
    folder: Path
    part: str
    draws: int
    graph: Path | None = None
    latency: Latency | None = None

    def __call__(self, candidate: Mapping[str, Value]) -> dict[str, float]:
        """Fit, or go on with or load the fit that is there, and measure."""
        args = self.arguments(candidate)
        args.out, args.resume = self.folder / folder_name(candidate), True
        data = load_data(args)
        model = model_of(args, data)
        if model.reconstructs:
            data = data.reconstructing()
        stopping = None if args.patience is None else data.validation
        post = bn.fit(model, data.train, validation=stopping, progress=False, **fit_settings(args))
        keep_config(args)
        assert isinstance(post, Posterior)  # a range of λ is refused before
        return measures(post, data.train, self._judged(data), self.draws, self.latency)

    def config(self) -> dict[str, Any]:
        """What decides the numbers of all trials: the words of the fit, the graph, what judges."""
        words = list(self.words)
        for option in _OF_A_MACHINE:
            while option in words:
                del words[words.index(option) : words.index(option) + 2]
        graph = None if self.graph is None else read_graph(self.graph).to_dict()
        return {
            "fit": words,
            "graph": graph if graph is None else hashlib.sha256(repr(graph).encode()).hexdigest(),
            "part": self.part,
            "draws": self.draws,
        }

    def arguments(self, candidate: Mapping[str, Value]) -> argparse.Namespace:
        """What ``bayesnas fit`` is told for a candidate.

        Raises:
            ValueError: options that don't go together, or several λ in one fit.
            SystemExit: for words that are no options.
        """
        model, options = self._words_of(candidate)
        held_out = ["--validation", _HELD_OUT]
        if self.part == "test" or "--validation" in [*self.words, *options]:
            held_out = []
        # The model first and the option of many words, --hidden, before another one.
        args = read_words(["fit", *model, *self.words, *options, *held_out])
        if not isinstance(args.kl_weight, (float, str)) or args.kl_weight == "validation":
            raise ValueError("kl_weight of a trial must be one number: vary it")
        return args

    def command(self, candidate: Mapping[str, Value]) -> list[str]:
        """The words of a fit of a candidate, as a user would type them."""
        model, options = self._words_of(candidate)
        return ["bayesnas", "fit", *model, *self.words, *options]

    def _words_of(self, candidate: Mapping[str, Value]) -> tuple[list[str], list[str]]:
        """The model, where it varies, and options: those of a graph, then the others."""
        edges = [f"{name}={value}" for name, value in candidate.items() if is_edge(name)]
        model = [str(value) for name, value in candidate.items() if name == "model"]
        options = [] if self.graph is None else ["--graph", str(self.graph)]
        options += ["--operations", *edges] if edges else []
        for name, value in candidate.items():
            if name != "model" and not is_edge(name):
                options += [f"--{name}", str(value)]
        return model, options

    def _judged(self, data: AnyDataSet) -> AnySplit:
        judged: AnySplit | None = getattr(data, self.part)
        if judged is None:
            raise ValueError(f"part must be one that the data have, got {self.part!r}")
        return judged


def is_edge(name: str) -> bool:
    """Whether a variable is the operation on an edge, not an option."""
    return "->" in name


def space_of(varied: list[Varied], graph: Path | None = None) -> SearchSpace:
    """The variables of ``--graph`` and of ``--vary``.

    >>> space_of([Varied("seed", ("0", "1"))])
    SearchSpace({'seed': Categorical(when=None, choices=(0, 1))})
    """
    edges = {} if graph is None else dict(SearchSpace.of_graph(read_graph(graph)))
    return SearchSpace({**edges, **{each.name: _variable(each) for each in varied}})


def _variable(each: Varied) -> Variable:
    if each.words:
        return Categorical(_numbers(each.words))
    if each.scale == "int":
        return Integer(int(each.low), int(each.high))
    return _KINDS[each.scale](each.low, each.high)


def _numbers(words: tuple[str, ...]) -> tuple[Value, ...]:
    """Words as numbers where all are, so that tables and plots know them as such."""
    for kind in (int, float):
        try:
            numbers: tuple[Any, ...] = tuple(kind(word) for word in words)
        except ValueError:
            continue
        if len(set(numbers)) == len(words):
            return numbers
    return words
