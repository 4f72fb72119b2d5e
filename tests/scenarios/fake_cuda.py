"""A GPU that is not there: tensors that say they lie on one, hold values, and refuse to be mixed.

torch's ``FakeTensorMode`` knows the same rules, but its tensors have no values, and its engine
differentiates none on a GPU that is not there. Here every operation is computed on the CPU, after a
look at where its arguments lie, and for torch's kernels all tensors are of the CPU. Random numbers
come from the CPU's generator, so a fit on this GPU has the numbers of the fit on the CPU.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from bayesnas.nn.lazy.lazy_tensor import METADATA

ATEN = torch.ops.aten
GPU, CPU = torch.device("cuda", 0), torch.device("cpu")

# What looks at values, or has a size that depends on them: the program waits for the GPU.
_WAITING = {
    ATEN._local_scalar_dense, ATEN.equal, ATEN.masked_select, ATEN.nonzero, ATEN._unique,
    ATEN._unique2, ATEN.unique_consecutive, ATEN.unique_dim, ATEN.repeat_interleave,
    ATEN.bincount, ATEN._linalg_check_errors,
}  # fmt: skip
# Take indices that lie on the CPU, and copy them over.
_INDEXING = {ATEN.index, ATEN.index_put, ATEN.index_put_, ATEN._index_put_impl_}
# Take numbers that lie on the CPU, though torch does not mark them as pointwise.
_TAKING_NUMBERS = {ATEN.fill_, ATEN.fill, ATEN.masked_fill, ATEN.masked_fill_, ATEN._fused_adam_}
_GENERATOR = torch.Generator
_NOT_OURS = ("site-packages", "fake_cuda", "<string>")


class OnGpu(Tensor):
    """A tensor that says it lies on a GPU; its values are in ``held``."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls: type[OnGpu], held: Tensor) -> OnGpu:
        made: OnGpu = Tensor._make_wrapper_subclass(
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype
        )
        made.held = held.detach()
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return GPU

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @property
    def data(self) -> Tensor:  # type: ignore[override]
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        Tensor.data.__set__(self, value)  # type: ignore[attr-defined]
        self.held = value.held  # type: ignore[attr-defined]

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __array__(self, *_: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def __deepcopy__(self, memo: dict[int, Any]) -> OnGpu:
        made = OnGpu(self.held.clone()).requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            made._is_param = True
        memo[id(self)] = made
        return made

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # fmt: skip
        return _run(func, args, kwargs or {}, lambda _: None, False)


class _AnyGenerator(type(_GENERATOR)):  # type: ignore[misc]
    """Takes all generators for its instances: what learns this class may outlive it."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _GENERATOR)


class _Generator(torch.Generator, metaclass=_AnyGenerator):
    """Of any device: the CPU's."""

    def __new__(cls, device: object = None) -> _Generator:
        return super().__new__(cls)


class _Copy(torch.autograd.Function):
    """A copy from the CPU to the GPU, or back."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        return value.held.clone() if isinstance(value, OnGpu) else OnGpu(value.detach().clone())

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _Copy.forward(context, gradient)


class FakeCuda(TorchFunctionMode):
    """Inside it ``device="cuda"`` makes tensors on the GPU that is not there.

    Attributes:
        waits: the operations that made the program wait for the GPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.of_gpu = False
        """Whether the call of torch that runs was given tensors on the GPU."""

    def note(self, what: str) -> None:
        """Keep what waited, and the line of the program that asked for it."""
        frame = sys._getframe(1)
        while frame.f_back and any(part in frame.f_code.co_filename for part in _NOT_OURS):
            frame = frame.f_back
        place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        self.waits.append(f"{what} at {place}")

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in METADATA or getattr(func, "__name__", "") == "__get__":
            return func(*args, **kwargs)
        for kind in types:
            if not kind.__module__.startswith("bayesnas"):
                continue
            with self:  # it goes on in handlers of the program's own
                result = kind.__torch_function__(func, types, args, kwargs)
            if result is not NotImplemented:
                return result
        if func is Tensor.pin_memory:
            return args[0].clone()
        if func in (Tensor.cpu, Tensor.cuda, Tensor.to):
            places = {Tensor.cpu: (CPU,), Tensor.cuda: (GPU,)}.get(func, args[1:])
            return self._moved(args[0], places, kwargs)
        outside, self.of_gpu = self.of_gpu, _any_on_gpu(args, kwargs)
        try:
            if func is Tensor.new_tensor:
                kwargs.setdefault("device", args[0].device)
            if kwargs.get("device") is None:
                return func(*args, **kwargs)
            return self._made(func, args, kwargs)
        finally:
            self.of_gpu = outside

    def _made(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """What a function makes that is told where."""
        place = torch.device(kwargs.pop("device"))
        result = func(*args, **kwargs, device=CPU if place.type == "cuda" else place)
        if place.type != "cuda":
            return result.held if isinstance(result, OnGpu) else result
        copied = func in (torch.tensor, torch.as_tensor) and not self.of_gpu
        if copied or func is Tensor.new_tensor:
            self.note(f"{func.__name__}(..., device={str(place)!r})")
        return result if isinstance(result, OnGpu) else OnGpu(result)

    def _moved(self, value: Tensor, places: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """``value.to(...)``."""
        options = dict(kwargs)
        late = options.pop("non_blocking", False)
        place, dtype = options.pop("device", None), options.pop("dtype", None)
        for each in (*places, options.pop("other", None)):
            if isinstance(each, Tensor):
                place, dtype = each.device, each.dtype
            elif isinstance(each, torch.dtype):
                dtype = each
            elif isinstance(each, (str, torch.device)):
                place = torch.device(each)
            elif isinstance(each, bool):
                late = each
        place = value.device if place is None else torch.device(place)
        dtype = value.dtype if dtype is None else dtype
        if place.type == value.device.type or "meta" in (place.type, value.device.type):
            return value.to(CPU if place.type == "cuda" else place, dtype, **options)
        if not late:
            self.note(f"to({str(place)!r})")
        moved: Tensor = _Copy.apply(value).to(dtype)
        return moved


class _Operations(TorchDispatchMode):
    """Looks at every operation, also at those that make tensors of none."""

    def __init__(self, of: FakeCuda) -> None:
        super().__init__()
        self._of = of

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, self._of.note, self._of.of_gpu)


def _run(func: Any, args: Any, kwargs: Any, note: Callable[[str], None], inside: bool) -> Any:
    """An operation, on the CPU; ``inside``: of a function that was given tensors on the GPU."""
    tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
    on_gpu = [value for value in tensors if isinstance(value, OnGpu)]
    if on_gpu:
        _check(func, args, tensors)
        if _waits(func, args):
            note(str(func))
    given = {id(value.held): value for value in on_gpu}
    result = func(*tree_map(_held, args), **tree_map(_held, kwargs))
    if on_gpu and torch.Tag.inplace_view in func.tags:
        with torch._C._DisableTorchDispatch():  # the wrapper takes the new shape as well
            func(*args, **kwargs)
        return args[0]
    to_gpu = bool(on_gpu) or (inside and not tensors)

    def placed(value: Any) -> Any:
        if not isinstance(value, Tensor) or not to_gpu:
            return value
        return given[id(value)] if id(value) in given else OnGpu(value)

    return tree_map(placed, result)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnGpu) else value


def _any_on_gpu(*values: Any) -> bool:
    return any(isinstance(value, OnGpu) for value in tree_leaves(values))


def _check(func: Any, args: Any, tensors: list[Tensor]) -> None:
    packet = func.overloadpacket
    if packet is ATEN.copy_:
        return
    if packet in _INDEXING:
        tensors = [args[0], *args[2:3]]
    takes_numbers = torch.Tag.pointwise in func.tags or packet in _TAKING_NUMBERS | _INDEXING
    for value in tensors:
        if not isinstance(value, OnGpu) and not (takes_numbers and value.ndim == 0):
            raise RuntimeError(
                f"{func}: expected all tensors to be on the same device, got one of shape "
                f"{list(value.shape)} on the CPU"
            )


def _waits(func: Any, args: Any) -> bool:
    packet = func.overloadpacket
    if packet is ATEN.copy_:
        between = isinstance(args[0], OnGpu) != isinstance(args[1], OnGpu)
        return between and not (len(args) > 2 and args[2])
    if packet in _INDEXING:
        indices = [value for value in args[1] if value is not None]
        if (
            len(indices) == 1
            and len(args) > 2
            and args[2].ndim == 0
            and isinstance(indices[0], OnGpu)
        ):
            return False  # a mask that is filled with one number
        return any(v.dtype == torch.bool or not isinstance(v, OnGpu) for v in indices)
    return packet in _WAITING


@contextmanager
def fake_cuda() -> Iterator[FakeCuda]:
    """``torch.cuda`` says that there is one GPU, and its tensors can be made and computed with."""
    state = torch.zeros(16, dtype=torch.uint8)
    there = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "is_current_stream_capturing": lambda: False,
        "get_rng_state": lambda *_: copy.copy(state),
        "set_rng_state": lambda *_: None,
    }
    future = torch.__future__
    overwrites = future.get_overwrite_module_params_on_conversion()
    with ExitStack() as stack:
        for name, value in there.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        stack.enter_context(mock.patch.object(torch, "Generator", _Generator))
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        # Optimisers ask whether a graph is being captured.
        stack.enter_context(
            mock.patch.object(torch.accelerator, "current_accelerator", return_value=None)
        )
        # A parameter that is kept would not become one of another class.
        future.set_overwrite_module_params_on_conversion(True)
        stack.callback(future.set_overwrite_module_params_on_conversion, overwrites)
        mode = FakeCuda()
        stack.enter_context(_Operations(mode))
        yield stack.enter_context(mode)
