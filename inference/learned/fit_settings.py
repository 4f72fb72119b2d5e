"""Settings of a fit as numbers that the bound after some steps is differentiated by."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.checks import fraction_in, positive
from bayesnas.inference.bilevel.derivatives import as_leaves
from bayesnas.inference.bilevel.linear_solvers import Tensors
from bayesnas.inference.bilevel.unroll import unroll
from bayesnas.inference.learned.rules import States, adam_direction, adam_start
from bayesnas.inference.learned.tasks.bounds import DrawnWeighted
from bayesnas.inference.optim.adam import BETAS
from bayesnas.typed import typed

_AHEAD = 1_000_000  # beyond the steps of any fit: batches and noise that no step has seen


class LearnedSettings(nn.Module):
    r"""Five settings of a fit by Adam, as parameters φ.

    Step t of T has the learning rate and KL weight

    .. math:: \eta_t = \eta \min\bigl(1, \tfrac{1 - t/T}{1 - s}\bigr), \qquad
        \lambda_t = \min\bigl(1, \tfrac{t/T}{w}\bigr)

    and the log scales of the guide start ln c higher than those of the model. η and c are
    :math:`e^\phi`; β₁, s and w are :math:`1 / (1 + e^{-\phi})`.

    Args:
        rate: η.
        momentum: β₁ of Adam, in (0, 1).
        decay: s, the share of the steps after which the rate falls to 0, in (0, 1).
        warmup: w, the share of the steps over which λ rises to 1, in (0, 1).
        scale: c, the factor on the initial scales of the guide.

    Raises:
        ValueError: for a number outside of its range.

    References:
        Maclaurin, Duvenaud, Adams, *Gradient-based hyperparameter optimization through reversible
        learning*, 2015; Wu, Ren, Liao, Grosse, *Understanding short-horizon bias in stochastic
        meta-optimization*, 2018 (what truncation does to η).

    >>> settings = LearnedSettings(rate=0.1, decay=0.5, warmup=0.25)
    >>> round(settings.rate_at(0.75).item(), 6), round(settings.kl_factor_at(0.125).item(), 6)
    (0.05, 0.5)
    """

    @typed()
    def __init__(
        self,
        rate: float = 0.01,
        momentum: float = 0.9,
        decay: float = 0.5,
        warmup: float = 0.1,
        scale: float = 1.0,
    ) -> None:
        """Set φ; see the class."""
        super().__init__()
        self.log_rate = _parameter(math.log(positive("rate", rate)))
        shares = {"momentum": momentum, "decay": decay, "warmup": warmup}
        for name, share in shares.items():
            share = fraction_in(name, share, "(0, 1)")
            logit = _parameter(math.log(share / (1 - share)))
            self.register_parameter(f"{name}_logit", logit)
        self.log_scale = _parameter(math.log(positive("scale", scale)))

    def values(self) -> dict[str, Tensor]:
        """The settings by name, functions of φ."""
        return {
            "rate": self.log_rate.exp(),
            "momentum": self.get_parameter("momentum_logit").sigmoid(),
            "decay": self.get_parameter("decay_logit").sigmoid(),
            "warmup": self.get_parameter("warmup_logit").sigmoid(),
            "scale": self.log_scale.exp(),
        }

    def rate_at(self, progress: float) -> Tensor:
        """η after a share of the steps."""
        values = self.values()
        return values["rate"] * ((1 - progress) / (1 - values["decay"])).clamp(max=1.0)

    def kl_factor_at(self, progress: float) -> Tensor:
        """λ after a share of the steps, as a factor on the λ of the fit."""
        return (progress / self.values()["warmup"]).clamp(max=1.0)

    def start(self, theta: Tensor, log_scales: Tensor) -> Tensor:
        """Initial parameters ``[tasks, P]`` at this scale.

        Args:
            theta: those of the model.
            log_scales: which are log scales of the guide, booleans ``[P]``.
        """
        return theta + self.log_scale * log_scales.to(theta.dtype)

    def take(
        self,
        drawn: DrawnWeighted,
        theta: Tensor,
        state: States | None,
        steps: range,
        total: int,
        looks: int = 4,
    ) -> tuple[Tensor, Tensor, States]:
        """Take steps of a fit, and measure the bound after them.

        Args:
            drawn: the tasks.
            theta: their parameters ``[tasks, P]``; what they depend on is differentiated too.
            state: of Adam; None before the first step.
            steps: indices of the steps.
            total: T, the steps of the whole fit.
            looks: batches, each with a draw of the guide, for the loss after the last step.

        Returns:
            the mean loss after the last step ``[]``, at λ = 1, whose gradient by φ is exact from
            the first of ``steps`` on; parameters and state, without a past.

        Raises:
            ValueError: for steps that are not of the fit.
        """
        if steps.start < 0 or steps.stop > total or steps.step != 1:
            raise ValueError(f"steps must be successive, of 0 to total={total}, got {steps}")
        state = adam_start(theta.detach()) if state is None else state
        momentum = self.values()["momentum"]

        def loss(moving: Tensors, index: int) -> Tensor:
            weight = self.kl_factor_at(steps[index] / total)
            return drawn.losses(moving[0], steps[index], weight.expand(len(theta))).sum()

        def change(slopes: Tensors, state: tuple[States, int]) -> tuple[Tensors, Any]:
            moments, step = state
            direction, after = adam_direction(slopes[0], moments, momentum)
            return [-self.rate_at(step / total) * direction], (after, step + 1)

        moving = [theta] if theta.requires_grad else as_leaves([theta])
        path = unroll(loss, moving, change, (state, steps.start), len(steps))
        ones = theta.new_ones(len(theta))
        ahead = range(_AHEAD + looks * steps.stop, _AHEAD + looks * (steps.stop + 1))
        after = torch.stack([drawn.losses(path.theta[0], step, ones) for step in ahead])
        moments = tuple(part.detach() for part in path.state[0])
        return after.mean(), path.theta[0].detach(), moments

    def fit_arguments(self) -> dict[str, Any]:
        """What :func:`bayesnas.fit` takes of them; c is a factor on the model's initial scales."""
        values = {name: value.item() for name, value in self.values().items()}
        adam = partial(torch.optim.Adam, betas=(values["momentum"], BETAS[1]))
        decay = values["decay"]
        return {
            "lr": values["rate"],
            "optimizer": adam,
            "schedule": lambda progress: min(1.0, (1 - progress) / (1 - decay)),
            "kl_warmup": values["warmup"],
        }


def _parameter(value: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(value))
