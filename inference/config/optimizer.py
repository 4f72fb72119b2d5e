"""What makes the optimiser of a fit."""

from __future__ import annotations

from collections.abc import Callable

import torch

OptimizerFactory = Callable[..., torch.optim.Optimizer]
"""A class of ``torch.optim``, or anything called as ``optimizer(parameters, lr=...)``."""
