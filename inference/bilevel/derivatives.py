"""Leaves of a graph of derivatives, and gradients by them."""

from __future__ import annotations

import torch
from torch import Tensor

from bayesnas.inference.bilevel.linear_solvers import Tensors


def as_leaves(values: Tensors) -> list[Tensor]:
    """The same values, without a past, to take gradients by."""
    return [value.detach().requires_grad_() for value in values]


def gradient(loss: Tensor, by: Tensors, *, again: bool = False, keep: bool = False) -> list[Tensor]:
    """Gradients of a loss ``[]``, zeros where there is no influence.

    Args:
        loss: to differentiate.
        by: tensors.
        again: whether the gradients are to be differentiated themselves.
        keep: whether the loss is, once more.
    """
    if not loss.requires_grad:
        return [torch.zeros_like(value) for value in by]
    # Not ``ones_like``, by which a traced gradient would need the value of the loss.
    one = torch.ones(loss.shape, dtype=loss.dtype, device=loss.device)
    return list(
        torch.autograd.grad(
            loss,
            by,
            one,
            create_graph=again,
            retain_graph=again or keep,
            allow_unused=True,
            materialize_grads=True,
        )
    )
