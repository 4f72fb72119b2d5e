"""Normal numbers by a compiled loop, against torch's own."""

from __future__ import annotations

import logging

import pytest
import torch
from scipy import stats

from bayesnas.inference.compile import native_normal
from bayesnas.inference.compile.native_normal import FillNormal, can_fill, fill_normal
from bayesnas.inference.compile.random_ops import Noise, RandomOp, StackedNoise

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def fill() -> FillNormal:
    native = fill_normal()
    if native is None:
        pytest.skip("no C++ compiler")
    return native


@pytest.mark.parametrize("drawn_before", [0, 1, 623, 624, 625])
@pytest.mark.parametrize("count", [16, 17, 31, 624, 4_096, 4_097, 10_000])
def test_numbers_and_generator_are_those_of_torch(
    fill: FillNormal, drawn_before: int, count: int
) -> None:
    """Also where the state of the generator is at the end of its words."""
    torchs, here = (torch.Generator().manual_seed(count) for _ in range(2))
    for generator in (torchs, here):
        torch.empty(drawn_before).uniform_(generator=generator)
    expected, drawn = torch.empty(count).normal_(generator=torchs), torch.empty(count)
    fill(drawn, here)
    assert torch.allclose(drawn, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(torchs.get_state(), here.get_state())


def test_numbers_are_normal(fill: FillNormal) -> None:
    """Kolmogorov's test at 1e-7, of 200,000 numbers, and of the pairs' sums."""
    numbers = torch.empty(200_000)
    fill(numbers, torch.Generator().manual_seed(0))
    assert stats.kstest(numbers.numpy(), "norm").pvalue > 1e-7
    sums = (numbers.view(-1, 2, 8).sum(1) / 2**0.5).flatten()
    assert stats.kstest(sums.numpy(), "norm").pvalue > 1e-7


def draws(*shapes: tuple[int, ...]) -> list[RandomOp]:
    return [RandomOp("normal_", (), torch.Size(shape), torch.float32, CPU) for shape in shapes]


def test_compiled_noise_is_the_noise(fill: FillNormal) -> None:
    """Large draws by the loop, a small one by torch, and a uniform one between them."""
    given = draws((40, 50), (3,), (2_001,))
    given.insert(1, RandomOp("uniform_", (), torch.Size([7]), torch.float32, CPU))
    noise = Noise(given)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        plain = noise()
        noise.compile()
        torch.manual_seed(5)
        compiled = noise()
    assert [value.shape for value in compiled] == [draw.shape for draw in given]
    for a, b in zip(plain, compiled, strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-5)


def test_every_chain_draws_from_its_own_generator(fill: FillNormal) -> None:
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    noise = StackedNoise(draws((1_500,)), generators)
    noise.compile()
    (both,) = noise()
    for row, seed in zip(both, (3, 4), strict=True):
        alone = torch.randn(1_500, generator=torch.Generator().manual_seed(seed))
        assert torch.allclose(row, alone, rtol=1e-5, atol=1e-5)


def test_what_the_loop_does_not_draw_is_left_to_torch() -> None:
    assert can_fill(torch.Size([40, 50]), torch.float32, CPU)
    assert not can_fill(torch.Size([999]), torch.float32, CPU)
    assert not can_fill(torch.Size([2_000]), torch.float64, CPU)
    assert not can_fill(torch.Size([2_000]), torch.float32, torch.device("cuda"))
    shifted = RandomOp("normal_", (1.0, 2.0), torch.Size([2_000]), torch.float32, CPU)
    assert shifted.compiled() is shifted


@pytest.mark.parametrize("reason", ["no compiler", "other numbers"])
def test_without_a_loop_that_gives_torchs_numbers_torch_draws(
    reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def compile_cpp(source: str) -> object:
        if reason == "no compiler":
            raise RuntimeError("no compiler")

        class Library:
            @staticmethod
            def normal(*_: object) -> None:
                """Draws nothing."""

        return Library

    monkeypatch.setattr(native_normal, "compile_cpp", compile_cpp)
    with caplog.at_level(logging.INFO, logger="bayesnas"):
        assert fill_normal.__wrapped__() is None
    assert "normal numbers are drawn by torch alone" in caplog.text
