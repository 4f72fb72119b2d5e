"""Float32 products by oneDNN: as accurate as MKL's, on only inside the block."""

from __future__ import annotations

import pytest
import torch

from bayesnas.runtime import matmul_precision as products
from bayesnas.runtime.matmul_precision import fast_products, onednn_is_accurate

CPU = torch.device("cpu")


def settings() -> tuple[str, str, str]:
    backends = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    return torch.get_float32_matmul_precision(), *(b.fp32_precision for b in backends)


@pytest.mark.parametrize("shape", [(1, 300, 17), (33, 100, 10), (256, 784, 100), (10, 2000, 10)])
def test_products_are_as_accurate_as_float32_allows(shape: tuple[int, int, int]) -> None:
    rows, inner, columns = shape
    generator = torch.Generator().manual_seed(1)
    a = torch.randn(rows, inner, generator=generator)
    b = torch.randn(inner, columns, generator=generator)
    with fast_products(CPU):
        product = a @ b
    error = (product - a.double() @ b.double()).abs()
    assert bool((error <= 1e-6 * (a.double().abs() @ b.double().abs())).all())


def test_the_settings_of_the_process_are_as_before() -> None:
    before = settings()

    def interrupted() -> None:
        with fast_products(CPU):
            expected = "medium" if onednn_is_accurate() else "highest"
            assert torch.get_float32_matmul_precision() == expected
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert settings() == before


def test_what_the_caller_chose_is_left_alone() -> None:
    torch.set_float32_matmul_precision("high")
    try:
        with fast_products(CPU):
            assert torch.get_float32_matmul_precision() == "high"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("device", [CPU, torch.device("cuda")])
def test_it_stays_off_on_a_gpu_and_where_products_are_rounded(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "onednn_is_accurate", lambda: device.type != "cpu")
    with fast_products(device):
        assert torch.get_float32_matmul_precision() == "highest"


def test_products_in_bfloat16_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = torch.Tensor.__matmul__

    def rounded(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        if a.dtype == torch.float32:
            a, b = (value.bfloat16().float() for value in (a, b))
        return whole(a, b)

    assert onednn_is_accurate.__wrapped__() == onednn_is_accurate()
    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    assert not onednn_is_accurate.__wrapped__()
