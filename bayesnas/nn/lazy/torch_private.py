"""What lazily sampled tensors take from torch that torch does not promise to keep.

A tensor that stands for a draw needs a shape, a type and a device but no memory, and has to be
asked for these without starting the draw. torch's notes on extending it use both names below for
subclasses of that kind, but neither is in its public interface. Where one of them changes,
``tests/bayesnas/nn/lazy/test_torch_private.py`` fails.
"""

from __future__ import annotations

import torch

make_wrapper = torch.Tensor._make_wrapper_subclass
"""A tensor of a class, with shape, type and device, without memory."""

without_torch_function = torch._C.DisableTorchFunctionSubclass
"""Context in which ``__torch_function__`` of subclasses is not called."""
