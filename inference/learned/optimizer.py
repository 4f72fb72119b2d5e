"""A learned optimiser, as a fit takes it."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from bayesnas.checks import positive, shown
from bayesnas.files import check_new_file, path_of
from bayesnas.inference.learned.rules import UpdateRule, make_rule
from bayesnas.runtime.random_state import random_state_kept
from bayesnas.tensor_files import read_tensors, write_tensors
from bayesnas.typed import typed
from bayesnas.untrusted_files import untrusted_file

FORMAT = 1
"""Of the files that hold a learned optimiser."""

_AT_ONCE = 8192  # coordinates: what a rule computes of them stays in the cache


class LearnedOptimizer:
    """An optimiser whose rule was learned: what ``optimizer=`` of :func:`bayesnas.fit` takes.

    Called with parameters it makes a ``torch.optim.Optimizer`` that steps by the rule, in the type
    of each parameter. Its state is tensors, so checkpoints hold it. ``lr`` is the factor on the
    output of the rule, ``rule.lr`` in training; a fit without ``lr=`` takes that.

    Args:
        rule: of one step, trained; it is not copied.
        training: how it was trained, as JSON values.

    Attributes:
        rule: as given.
        training: as given.
        lr: of the rule.
        coordinatewise: that a step is the same for every coordinate: so it may get all parameters
            as one vector.

    Raises:
        TypeError: for what is no rule; and, where it is called, for parameters that are not
            floating-point numbers.
        ValueError: for a learning rate, where it is called, that is not positive.

    References:
        Andrychowicz et al., *Learning to learn by gradient descent by gradient descent*, 2016.

    >>> import bayesnas as bn
    >>> from bayesnas.inference.learned.rules import MomentumRule
    >>> x = torch.linspace(-1, 1, 40)[:, None]
    >>> model = bn.models.ArdRegression(1, noise_scale=0.1)
    >>> learned = LearnedOptimizer(MomentumRule(rate=0.01, momentum=0.9))
    >>> post = bn.fit(model, (x, 2 * x[:, 0]), optimizer=learned, steps=200)
    >>> post.settings.optimizer[:24]
    "LearnedSteps(weights='mo"
    """

    coordinatewise = True

    @typed(unchecked=("rule",))
    def __init__(self, rule: UpdateRule, training: Mapping[str, Any] | None = None) -> None:
        """Keep the rule; see the class."""
        if not isinstance(rule, UpdateRule):
            raise TypeError(
                "rule must be an UpdateRule, such as bayesnas.inference.learned.rules.LstmRule(), "
                f"got {type(rule).__name__}"
            )
        self.rule, self.training = rule, dict(training or {})

    @property
    def lr(self) -> float:
        """Factor on the output of the rule, in training."""
        return self.rule.lr

    def __call__(self, parameters: Iterable[nn.Parameter], lr: float | None = None) -> LearnedSteps:
        """Make the optimiser of some parameters.

        Raises:
            TypeError: where one is complex or of whole numbers.
            ValueError: for ``lr`` that is not positive.
        """
        words = f"{self.rule.kind} {self.rule.fingerprint()}"
        return LearnedSteps(parameters, self.rule, self.lr if lr is None else lr, weights=words)

    def __repr__(self) -> str:
        """Rule and its fingerprint."""
        return f"LearnedOptimizer({self.rule.kind} {self.rule.fingerprint()})"

    @typed()
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file with a JSON header, no pickle.

        Args:
            path: new, ending in ``.safetensors``.

        Raises:
            ValueError, FileExistsError, FileNotFoundError: naming the path.
        """
        place = check_new_file("path", path, [".safetensors"])
        header = {
            "format": FORMAT,
            "kind": "learned optimizer",
            "rule": self.rule.kind,
            "arguments": self.rule.config(),
            "training": self.training,
        }
        write_tensors(place, self.rule.state_dict(), header)

    @classmethod
    @typed()
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: naming the path.
            ValueError: where it is damaged or holds something else.
        """
        place = path_of("path", path)
        tensors, header = read_tensors(place)
        if header.get("kind") != "learned optimizer":
            raise ValueError(f"{place} holds no learned optimiser")
        if header.get("format") != FORMAT:
            raise ValueError(
                f"{place} is of format {header.get('format')!r}; this version reads {FORMAT}"
            )
        with untrusted_file(place, "learned optimiser"):
            with random_state_kept():
                rule = make_rule(header["rule"], header["arguments"])
            dtype = next(iter(tensors.values())).dtype
            rule = rule.to(dtype)
            rule.load_state_dict(tensors)
            if not all(bool(value.isfinite().all()) for value in tensors.values()):
                raise ValueError("its numbers are not all finite")
            return cls(rule, header.get("training"))


class LearnedSteps(torch.optim.Optimizer):
    """Steps by a rule; :class:`LearnedOptimizer` makes it.

    Args:
        parameters: to train.
        rule: of one step.
        lr: factor on its output.
        weights: what the rule is, in words, for the description of a run.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], rule: UpdateRule, lr: float, weights: str = ""
    ) -> None:
        """Check the parameters; see the class."""
        parameters = _listed(parameters)
        for index, value in enumerate(parameters):
            if not isinstance(value, Tensor):
                raise TypeError(f"parameters must be tensors, got {shown(value)} at {index}")
            if not value.is_floating_point():
                raise TypeError(
                    "a learned optimiser takes parameters of real floating-point numbers, got "
                    f"parameter {index} of {value.dtype}"
                )
        super().__init__(parameters, {"lr": positive("lr", lr), "weights": weights})
        self._rule = rule
        self._rules: dict[tuple[torch.dtype, torch.device], UpdateRule] = {}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for value in group["params"]:
                if value.grad is not None and value.numel() > 0:
                    self._move(value, value.grad, group["lr"])
        return loss

    def _move(self, value: Tensor, gradient: Tensor, lr: float) -> None:
        rule = self._rule_for(value)
        state: dict[str, Tensor] = self.state[value]
        if not state:
            for index, part in enumerate(rule.start(gradient)):
                state[f"state{index}"] = part.clone(memory_format=torch.contiguous_format)
        parts = [state[f"state{index}"] for index in range(len(state))]
        columns = [part.view(*part.shape[: part.ndim - value.ndim], -1) for part in parts]
        slopes, changes = gradient.reshape(-1), list[Tensor]()
        for first in range(0, value.numel(), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            before = tuple(part[..., some] for part in columns)
            change, after = rule(slopes[some], before)
            for tensor, new in zip(before, after, strict=True):
                tensor.copy_(new)
            changes.append(change)
        if changes:
            value.add_(torch.cat(changes).view(value.shape), alpha=lr)

    def _rule_for(self, value: Tensor) -> UpdateRule:
        """The rule in the type and on the device of a parameter."""
        key = value.dtype, value.device
        if key not in self._rules:
            rule = copy.deepcopy(self._rule).to(value.dtype).to(value.device)
            self._rules[key] = rule.requires_grad_(False)
        return self._rules[key]


def _listed(parameters: object) -> list[Any]:
    """Parameters of an optimiser, one or more."""
    listed = (
        list(parameters)
        if isinstance(parameters, Iterable) and not isinstance(parameters, (Tensor, str))
        else []
    )
    if not listed:
        raise TypeError(
            "parameters must be tensors, one or more, as net.parameters() gives, got "
            f"{shown(parameters)}"
        )
    return listed
