"""A likelihood of the user's own, and the little that it has to be able to do."""

from __future__ import annotations

import copy
import json
from typing import Any, Protocol, get_args, runtime_checkable

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from bayesnas.checks import shown
from bayesnas.likelihoods.base import Likelihood, Task


@runtime_checkable
class LikelihoodContract(Protocol):
    """What a likelihood of one's own has: a task, and a distribution of the targets given outputs.

    It may also have

    - ``check(output_shape, y, classes)``, which raises ValueError where targets do not fit; without
      it they must have the event shape of the distribution, and be in its support;
    - ``target(y)``: targets in the form that the distribution observes, by default as they are:
      floating-point numbers in the type of the parameters for a regression, int64 labels for a
      classification;
    - ``config()``: arguments of its constructor as JSON values. They stand in a saved run, and
      ``bayesnas.load(path, likelihood=...)`` compares them.

    One that is an ``nn.Module`` has its parameters trained by maximum likelihood, moved and saved
    with the model. Like a net it is copied, never changed.

    >>> class Laplace:
    ...     task = "regression"
    ...     def __call__(self, output):
    ...         return dist.Laplace(output.squeeze(-1), 0.5)
    >>> isinstance(Laplace(), LikelihoodContract)
    True
    """

    task: Task

    def __call__(self, output: Tensor, /) -> dist.TorchDistribution:
        """Distribution of the targets given outputs ``[n, ...]``.

        Its batch shape is ``[n]``: what belongs to a row is one event (``.to_event(1)``). It has a
        ``mean``, or ``probs`` over classes, of which predictions are made.
        """
        ...


class OwnLikelihood(Likelihood):
    """A likelihood of the user's own, inside a model.

    Args:
        given: fulfils :class:`LikelihoodContract`; copied.

    Raises:
        TypeError: it does not.
    """

    def __init__(self, given: Any) -> None:
        """Copy it; see the class."""
        super().__init__()
        if not callable(given) or isinstance(given, type) or not hasattr(given, "task"):
            raise TypeError(
                "likelihood must be a name or an object with task and __call__(output) "
                f"(bayesnas.likelihoods.LikelihoodContract), got {shown(given)}"
            )
        if given.task not in get_args(Task):
            raise TypeError(
                "likelihood: task must be 'classification' or 'regression', "
                f"got {shown(given.task)}"
            )
        try:
            self.own = copy.deepcopy(given)
        except Exception as error:  # whatever an object of the user's holds
            raise TypeError(
                "likelihood must be an object that copy.deepcopy can copy, "
                f"got {shown(given)}: {error}"
            ) from error
        self.name, self.task = type(given).__name__, given.task

    def forward(self, output: Tensor) -> dist.TorchDistribution:
        """Its distribution, of batch shape ``[n]``."""
        distribution: dist.TorchDistribution = self.own(output)
        shape = getattr(distribution, "batch_shape", None)
        if shape is None or len(shape) != 1 or shape[0] != len(output):
            got = type(distribution).__name__ if shape is None else f"batch_shape {list(shape)}"
            raise ValueError(
                f"likelihood {self.name} must give a distribution of batch_shape [{len(output)}], "
                f"one for each row (.to_event(1) makes one of several values), got {got}"
            )
        return distribution

    def check(self, output_shape: torch.Size, y: Tensor, classes: int | None = None) -> None:
        """Its own check; without one, whether targets have the shape of the event."""
        if callable(check := getattr(self.own, "check", None)):
            check(output_shape, y, classes)
            return
        tensors = self.parameters() if isinstance(self.own, nn.Module) else ()
        like = next(iter(tensors), torch.zeros(()))
        event = self(torch.zeros(output_shape, dtype=like.dtype)).event_shape
        target = self.target(y[:2])
        if target.shape[1:] != event:
            raise ValueError(
                f"y must have shape {['n', *event]} for likelihood {self.name} and a net with "
                f"outputs {['n', *output_shape[1:]]}, got {['n', *target.shape[1:]]}"
            )

    def target(self, y: Tensor) -> Tensor:
        """What its own ``target`` makes of y; y itself without one."""
        target = getattr(self.own, "target", None)
        converted: Tensor = target(y) if callable(target) else y
        return converted

    def size_for(self, classes: int | None) -> None:
        """Hand it on to a likelihood that has such a method."""
        if callable(size_for := getattr(self.own, "size_for", None)):
            size_for(classes)

    def arguments(self) -> dict[str, Any]:
        """Arguments of a model that say this likelihood: the object itself."""
        return {"likelihood": self.own}

    def config(self) -> dict[str, Any]:
        """Its class and what its own ``config()`` says, to be compared with one given at load."""
        config = getattr(self.own, "config", None)
        arguments = config() if callable(config) else None
        try:
            arguments = json.loads(json.dumps(arguments))
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"likelihood: {self.name}.config() must give JSON values: {error}"
            ) from error
        return {"likelihood": {"own": self.name, "arguments": arguments}}
