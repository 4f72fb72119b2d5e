"""Stochastic gradient descent on clipped gradients, as the weights of a DARTS cell are trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.checks import positive


class ClippedSGD(torch.optim.SGD):
    """Stochastic gradient descent on gradients of a norm of at most ``clip_norm``.

    Args:
        params: parameters of any shape.
        lr: learning rate.
        clip_norm: of the gradients of all of them together.
        momentum: as of SGD.
        weight_decay: as of SGD.

    Raises:
        ValueError: naming a rate or a norm that is not positive.

    >>> weight = nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([30.0, 40.0])
    >>> ClippedSGD([weight], lr=1.0, clip_norm=5.0).step()
    >>> weight.data
    tensor([-3.0000, -4.0000])
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        *,
        clip_norm: float = 5.0,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        """As SGD; see the class."""
        super().__init__(
            params, lr=positive("lr", lr), momentum=momentum, weight_decay=weight_decay
        )
        clip_norm = positive("clip_norm", clip_norm)
        self.defaults["clip_norm"] = clip_norm  # for the description of a run
        self._clip_norm = clip_norm

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Clip the gradient and step."""
        leaves = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        nn.utils.clip_grad_norm_(leaves, self._clip_norm)
        return super().step(closure)
