"""Training of a rule: hypergradients of unrolled steps by its parameters."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from bayesnas.checks import draw_count, flag, positive, seed_number, size, step_count, whole_number
from bayesnas.inference.bilevel.derivatives import as_leaves, gradient
from bayesnas.inference.bilevel.unroll import Change, unroll
from bayesnas.inference.learned.evaluation import loss_curves
from bayesnas.inference.learned.imitation import Imitation
from bayesnas.inference.learned.optimizer import LearnedOptimizer
from bayesnas.inference.learned.rules import LstmRule, States, UpdateRule
from bayesnas.inference.learned.tasks.base import Drawn, TaskFamily
from bayesnas.runtime.random_state import RandomStream, derived_seed
from bayesnas.typed import typed

_CHECKS = 5  # of the losses on validation tasks, in a training
_BIG_LOSS = 1e30  # stands for one that is not finite


@typed(unchecked=("rule",))
def learn_optimizer(
    tasks: TaskFamily,
    *,
    rule: UpdateRule | None = None,
    imitate: Imitation | None = None,
    steps: int = 100,
    unroll: int = 20,
    rounds: int = 200,
    batch: int = 16,
    lr: float = 3e-3,
    clip: float = 1.0,
    second_derivatives: bool = False,
    coordinates: int | None = None,
    validation: int = 20,
    seed: int = 0,
    progress: bool = True,
) -> LearnedOptimizer:
    r"""Learn the rule of an optimiser on a family of tasks.

    .. math:: L(\phi) = E_f \sum_{t=1}^T f(\theta_t), \qquad
        \theta_{t+1} = \theta_t + g_t, \quad (g_t, s_{t+1}) = m_\phi(\nabla f(\theta_t), s_t)

    Every round draws tasks and takes T steps with them. After each ``unroll`` of these, φ moves by
    Adam along the gradient of the mean loss over them, truncated at their beginning. The φ with
    the lowest loss after T steps on validation tasks, of six looks at it, is returned.

    Args:
        tasks: the family.
        rule: trained from where it stands, and not changed; None for a fresh :class:`LstmRule`.
        imitate: a hand-made optimiser whose steps are learned first, see :class:`Imitation`. The
            rule that repeats them counts in the choice of φ.
        steps: T.
        unroll: steps that a gradient goes back.
        rounds: how often tasks are drawn; with ``imitate`` it may be 0.
        batch: tasks in a round.
        lr: of Adam, cosine down to 0 over the rounds.
        clip: largest norm of a gradient by φ.
        second_derivatives: whether ∇f is differentiated by θ as well; else it is taken as constant.
        coordinates: of how many coordinates of θ, drawn anew for every unroll, the gradient is
            taken; None for all. The rule moves all of them in any case, and the gradient is the
            full one in expectation. Not with second derivatives, where coordinates act on each
            other.
        validation: tasks behind the choice of φ; 0 for none: then the last φ is returned.
        seed: of φ, the tasks and what is random in them.
        progress: show a bar, where stderr is a terminal.

    Returns:
        the optimiser; its ``training`` holds these settings and the validation losses.

    Raises:
        ValueError: naming the argument; for an ``unroll`` longer than ``steps``, and for a task
            whose loss has no gradient by its parameters.
        TypeError: for a rule that is no ``UpdateRule``.

    References:
        Andrychowicz et al., *Learning to learn by gradient descent by gradient descent*, 2016;
        Metz et al., *Understanding and correcting pathologies in the training of learned
        optimizers*, 2019 (truncation).

    >>> from bayesnas.inference.learned.rules import MomentumRule
    >>> from bayesnas.inference.learned.tasks.quadratics import Quadratics
    >>> rule = MomentumRule(rate=1e-3)
    >>> learned = learn_optimizer(
    ...     Quadratics(2), rule=rule, steps=10, unroll=10, rounds=20, lr=0.1, validation=5)
    >>> learned.rule.config()["rate"] > 1e-3
    True
    """
    steps = step_count("steps", steps)
    if whole_number("unroll", unroll) > steps:
        raise ValueError(f"unroll must be at most steps={steps}, the steps of a task, got {unroll}")
    rounds = step_count("rounds", rounds, 1 if imitate is None else 0)
    batch = draw_count("batch", batch)
    validation, seed = draw_count("validation", validation, 0), seed_number("seed", seed)
    lr, clip = positive("lr", lr), positive("clip", clip)
    if coordinates is not None:
        size("coordinates", coordinates)
        if flag("second_derivatives", second_derivatives):
            raise ValueError("coordinates must be None with second_derivatives=True")
    moving = _checked_rule(rule, seed)
    check_gradients(tasks.draw(1, derived_seed(seed, 0)))
    trained = [value for value in moving.parameters() if value.requires_grad]
    adam = torch.optim.Adam(trained, lr)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(adam, max(rounds, 1))
    lesson_seed = derived_seed(derived_seed(seed, 1), 0)
    lessons = [] if imitate is None else imitate.teach(moving, tasks, steps, lesson_seed)
    window = Window(moving, second_derivatives, coordinates, derived_seed(seed, 1))
    best = _Best(moving, tasks, steps, validation, derived_seed(seed, 2))
    best.look()
    bar = tqdm(range(rounds), desc="learning", disable=None if progress else True)
    for index in bar:
        drawn = tasks.draw(batch, derived_seed(seed, 3 + index))
        theta, state = drawn.start, moving.start(drawn.start)
        for first in range(0, steps, unroll):
            length = min(unroll, steps - first)
            loss, theta, state = window.take(drawn, theta, state, first, length)
            for value, slope in zip(trained, gradient(loss, trained), strict=True):
                value.grad = slope.nan_to_num(0.0, 0.0, 0.0)
            nn.utils.clip_grad_norm_(trained, clip)
            adam.step()
            if not bool(theta.isfinite().all()):  # an early φ may diverge: the next tasks are fresh
                break
        rates.step()
        if (index + 1) * _CHECKS // rounds > index * _CHECKS // rounds:
            bar.set_postfix(loss=f"{best.look():.4g}", refresh=False)
    return LearnedOptimizer(
        best.rule,
        {
            **tasks.config(),
            "steps": steps,
            "unroll": unroll,
            "rounds": rounds,
            "batch": batch,
            "lr": lr,
            "clip": clip,
            "second_derivatives": second_derivatives,
            "coordinates": coordinates,
            "seed": seed,
            "imitate": None if imitate is None else {**imitate.config(), "errors": lessons},
            "validation": best.losses,
        },
    )


class Window:
    """Unrolled steps of a rule on some tasks, and the loss whose gradient trains it.

    Args:
        rule: m.
        second_derivatives: whether gradients of the tasks are differentiated.
        coordinates: of how many the derivative is taken; None for all.
        seed: of their choice.
    """

    def __init__(
        self, rule: UpdateRule, second_derivatives: bool, coordinates: int | None, seed: int
    ) -> None:
        """Keep the options; see the class."""
        self._rule, self._second = rule, second_derivatives
        self._coordinates = coordinates
        self._generator = torch.Generator().manual_seed(seed)

    def take(
        self, drawn: Drawn, theta: Tensor, state: States, first: int, steps: int
    ) -> tuple[Tensor, Tensor, States]:
        """Take steps from a point without a past.

        Args:
            drawn: the tasks.
            theta: their parameters ``[tasks, P]``.
            state: of the rule.
            first: index of the first step.
            steps: how many.

        Returns:
            the mean loss after each step, ``[]``, and parameters and state after the last, again
            without a past.
        """
        change, start = self._change(theta, tuple(part.detach() for part in state))
        path = unroll(
            lambda moving, step: drawn.losses(moving[0], first + step).sum(),
            as_leaves([theta]),
            change,
            start,
            steps,
            second_derivatives=self._second,
        )
        last = drawn.losses(path.theta[0], first + steps).sum()
        loss = torch.stack([*path.losses[1:], last]).mean() / len(theta)
        after: Any = path.state if self._is_whole(theta) else path.state[0]
        return loss, path.theta[0].detach(), tuple(part.detach() for part in after)

    def _is_whole(self, theta: Tensor) -> bool:
        return self._coordinates is None or self._coordinates >= theta.shape[1]

    def _change(self, theta: Tensor, state: States) -> tuple[Change, Any]:
        """The rule as a change of θ, and its first state."""
        if self._is_whole(theta):

            def whole(slopes: Sequence[Tensor], state: States) -> tuple[list[Tensor], States]:
                change, after = self._rule(slopes[0], state)
                return [self._rule.lr * change], after

            return whole, state
        width = theta.shape[1]
        some = torch.randperm(width, generator=self._generator)[: self._coordinates]

        def partial(
            slopes: Sequence[Tensor], states: tuple[States, States]
        ) -> tuple[list[Tensor], tuple[States, States]]:
            """Move all coordinates, and let the change of some depend on φ."""
            with torch.no_grad():
                change, after = self._rule(slopes[0], states[0])
            of_some, after_some = self._rule(slopes[0][:, some], states[1])
            fixed = of_some.detach()
            scaled = fixed + (width / len(some)) * (of_some - fixed)
            change = self._rule.lr * change.index_copy(1, some, scaled)
            return [change], (after, after_some)

        return partial, (state, tuple(part[..., some] for part in state))


class _Best:
    """The rule with the lowest loss on validation tasks so far; without any, the one that moves."""

    def __init__(
        self, rule: UpdateRule, tasks: TaskFamily, steps: int, count: int, seed: int
    ) -> None:
        self._moving, self._tasks, self._steps = rule, tasks, steps
        self._count, self._seed = count, seed
        self.rule, self.losses = rule, list[float]()

    def look(self) -> float:
        if self._count == 0:
            return math.nan
        curves = loss_curves(
            LearnedOptimizer(self._moving),
            self._tasks,
            steps=self._steps,
            count=self._count,
            seed=self._seed,
        )
        loss = float(curves[-1].double().mean())
        loss = min(loss, _BIG_LOSS) if math.isfinite(loss) else _BIG_LOSS
        if not self.losses or loss < min(self.losses):
            self.rule = copy.deepcopy(self._moving)
        self.losses.append(loss)
        return loss


def _checked_rule(rule: UpdateRule | None, seed: int) -> UpdateRule:
    if rule is None:
        with RandomStream(seed, torch.device("cpu")).active():
            return LstmRule()
    if not isinstance(rule, UpdateRule):
        raise TypeError(f"rule must be an UpdateRule, got {type(rule).__name__}")
    return copy.deepcopy(rule)


def check_gradients(drawn: Drawn) -> None:
    """Raise ValueError where the loss of a task has no gradient by its parameters."""
    if not drawn.start.is_floating_point():
        raise ValueError(f"tasks must have floating-point parameters, got {drawn.start.dtype}")
    theta = drawn.start.detach().requires_grad_()
    loss = drawn.losses(theta, 0)
    gradient = None
    if loss.requires_grad:
        (gradient,) = torch.autograd.grad(loss.sum(), theta, allow_unused=True)
    if gradient is None:
        raise ValueError("tasks must have losses with a gradient by their parameters, got none")
