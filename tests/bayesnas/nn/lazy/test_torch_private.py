"""Private names of torch that lazily sampled tensors rely on, in the torch installed."""

from __future__ import annotations

import torch
from torch import Tensor

from bayesnas.nn.lazy.torch_private import make_wrapper, without_torch_function


class Silent(torch.Tensor):
    """Answers every function of torch with a word."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return "asked"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} ran on a tensor without memory")


def test_a_wrapper_has_shape_type_and_device_and_no_memory() -> None:
    huge = make_wrapper(Silent, (10**6, 10**6), dtype=torch.float64, device=torch.device("cpu"))
    assert type(huge) is Silent
    with without_torch_function():
        assert huge.shape == (10**6, 10**6)
        assert huge.dtype == torch.float64
        assert huge.device == torch.device("cpu")


def test_the_protocol_is_off_inside_the_block_alone() -> None:
    wrapper = make_wrapper(Silent, (2, 3), dtype=torch.float32, device=torch.device("cpu"))
    shape = Tensor.shape.__get__
    assert shape(wrapper) == "asked"
    with without_torch_function():
        assert shape(wrapper) == (2, 3)
    assert shape(wrapper) == "asked"
