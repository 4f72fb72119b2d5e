"""Candidates judged by fits: a whole one, a few epochs, or one λ of an amortised fit."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from bayesnas.checks import draw_count, name_of
from bayesnas.files import path_of
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.fit import fit
from bayesnas.inference.posterior.amortized import AmortizedPosterior
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.inference.search.judges.latency import Latency
from bayesnas.inference.search.space import Candidate
from bayesnas.models.base import BayesianModel
from bayesnas.nn.costs import multiply_adds
from bayesnas.typed import typed

DRAWS = 32


@typed()
@dataclass(frozen=True)
class FitJudge:
    """A candidate is a model and settings of a fit; it is fitted, and measured on other rows.

    Attributes:
        make: a model for a candidate.
        train: data of the fit.
        judged: rows of the measures; not the test part, which a search would choose by.
        settings: names of the candidate's variables that are arguments of ``bayesnas.fit``, such
            as ``("kl_weight", "lr")``.
        options: other arguments of it. Few epochs judge sooner, and favour what learns fast.
        folder: of one run folder a candidate, with which a killed fit goes on where it was.
        draws: of the weights, behind the measures.
        latency: how the latency of the network is measured; None: it is not.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: for a negative number of draws.

    >>> import torch, bayesnas as bn
    >>> x, y = torch.randn(40, 2), torch.arange(40) % 2
    >>> def make(candidate):
    ...     return bn.models.GaussianNet(bn.nn.mlp([2, candidate["width"], 2]))
    >>> judge = FitJudge(make, (x, y), (x, y), ("kl_weight",), {"steps": 5})
    >>> list(judge({"width": 3, "kl_weight": 0.1}))[:5]
    ['error', 'nll', 'accuracy', 'ece', 'bound']
    """

    make: Callable[[Candidate], BayesianModel]
    train: Data
    judged: Data
    settings: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    folder: str | Path | None = None
    draws: int = DRAWS
    latency: Latency | None = None

    def __post_init__(self) -> None:
        draw_count("draws", self.draws, 0)
        if self.folder is not None:
            object.__setattr__(self, "folder", path_of("folder", self.folder))

    def __call__(self, candidate: Candidate) -> dict[str, float]:
        """Fit and measure; see :func:`measures`."""
        chosen = {name: candidate[name] for name in self.settings if name in candidate}
        options: dict[str, Any] = {"progress": False, **self.options, **chosen}
        if self.folder is not None:
            options |= {"out": Path(self.folder) / folder_name(candidate), "resume": True}
        post = fit(self.make(candidate), self.train, **options)
        if not isinstance(post, Posterior):
            raise ValueError("kl_weight of a judged fit must be one number, got several")
        return measures(post, self.train, self.judged, self.draws, self.latency)


@typed()
@dataclass(frozen=True)
class AmortizedJudge:
    """A candidate is a λ of one fit over a range of them: nothing is trained.

    Attributes:
        post: of ``bayesnas.fit(kl_weight=LogUniform(...))``.
        train: data of the fit, whose bound is measured.
        judged: rows of the other measures.
        name: of the variable that is λ.
        draws: of the weights.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: for a negative number of draws.

    >>> import bayesnas as bn
    >>> data = bn.data.load("digits", validation=0.2)
    >>> model = bn.models.GaussianNet(bn.nn.mlp([64, 8, 10]))
    >>> post = bn.fit(model, data.train, kl_weight=bn.LogUniform(0.1, 10), steps=20)
    >>> judge = AmortizedJudge(post, data.train, data.validation, draws=0)
    >>> 0 <= judge({"kl_weight": 1.0})["accuracy"] <= 1
    True
    """

    post: AmortizedPosterior
    train: Data
    judged: Data
    name: str = "kl_weight"
    draws: int = DRAWS

    def __post_init__(self) -> None:
        name_of("name", self.name)
        draw_count("draws", self.draws, 0)

    def __call__(self, candidate: Candidate) -> dict[str, float]:
        """Measure at one λ; see :func:`measures`."""
        kl_weight: Any = candidate[self.name]
        return measures(self.post.at(kl_weight), self.train, self.judged, self.draws)


def measures(
    post: Posterior, train: Data, judged: Data, draws: int = DRAWS, latency: Latency | None = None
) -> dict[str, float]:
    """Objectives that a posterior has.

    Args:
        post: the posterior.
        train: data of the fit.
        judged: other rows.
        draws: of the weights.
        latency: how that of the network is measured; None: it is not.

    Returns:
        of the judged rows ``error`` (the share of wrong classes, or the root mean square error),
        ``nll`` in nats an example, and the other metrics of ``post.evaluate``; of the training
        rows ``kl``, ``bound`` = E ln p − λ KL, which is what the fit maximises, and ``evidence``
        = E ln p − KL ≤ ln p(y | x), which compares fits of several λ, in nats; the numbers of
        weights, ``parameters``, and of those that are kept, ``parameters_kept``, where a model
        counts them; and of ``post.compact()`` ``multiply_adds`` and ``latency`` in milliseconds,
        where a model is a network.
    """
    metrics = dict(post.evaluate(judged, draws=draws))
    on_train = post.evaluate(train, draws=draws)
    error = 1 - metrics["accuracy"] if "accuracy" in metrics else metrics.get("rmse")
    masks = post.model.keep_masks()
    values: dict[str, float | None] = {
        "error": error,
        **{name: metrics.get(name) for name in ("nll", "accuracy", "ece", "rmse")},
        "bound": on_train["expected_log_lik"] - post.kl_weight * on_train["kl"],
        "evidence": on_train["expected_log_lik"] - on_train["kl"],
        "kl": on_train["kl"],
        "parameters": sum(mask.numel() for mask in masks.values()) if masks else None,
        "parameters_kept": sum(int(mask.sum()) for mask in masks.values()) if masks else None,
        **_costs(post, latency),
    }
    return {name: float(value) for name, value in values.items() if value is not None}


def _costs(post: Posterior, latency: Latency | None) -> dict[str, float]:
    """Of the network without what was removed."""
    x = post.example[0]
    try:
        net = post.compact() if isinstance(x, Tensor) else None
    except TypeError:  # a model of no network
        net = None
    if net is None:
        if latency is not None:
            raise ValueError(
                f"latency must be of a network of one input, got {post.model.describe()}"
            )
        return {}
    costs: dict[str, float] = {"multiply_adds": multiply_adds(net, x)}
    if latency is not None:
        costs["latency"] = latency(net, x)
    return costs


def folder_name(candidate: Mapping[str, Any]) -> str:
    """A folder for a candidate: its entries, or a fingerprint of them where they are long.

    >>> folder_name({"kl_weight": 0.1, "seed": 3})
    'kl_weight=0.1,seed=3'
    """
    text = ",".join(f"{name}={value}" for name, value in candidate.items())
    if len(text) <= 120 and re.fullmatch(r"[\w=,.+-]+", text):
        return text
    return hashlib.sha256(repr(list(candidate.items())).encode()).hexdigest()[:24]
