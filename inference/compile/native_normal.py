"""Normal random numbers on a CPU: those of torch's generator, by a compiled loop."""

from __future__ import annotations

import ctypes
import functools
import logging
from collections.abc import Callable

import torch
from torch import Tensor

from bayesnas.inference.compile.torch_private import compile_cpp

_LOG = logging.getLogger("bayesnas")
_FEWEST = 1_000  # with fewer the copies of the generator's state cost what the loop saves

FillNormal = Callable[[Tensor, torch.Generator], None]
"""Draws N(0, 1) into a tensor that :func:`can_fill` from a generator of the CPU."""

# torch keeps a Mersenne twister (Matsumoto, Nishimura 1998), takes 24 bits of a word as a uniform
# number, and makes of every sixteen of them eight pairs of normal ones (Box, Muller 1958); where
# sixteen do not divide the count, the last sixteen numbers are made anew of sixteen more words. It
# does so number by number. Here whole blocks of words, and vectors of pairs, are made at once.
_SOURCE = r"""
#pragma GCC optimize("tree-loop-vectorize")
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <ATen/cpu/vec/vec.h>

using Vector = at::vec::Vectorized<float>;
constexpr int WORDS = 624, LAG = 397, GROUP = 16, CHUNK = 4096;

struct State {  // the beginning of what torch.Generator.get_state gives
  uint64_t seed;
  int32_t left, seeded;
  uint64_t next, words[WORDS];
};

static inline uint32_t mixed(uint32_t u, uint32_t v) {
  return (((u & 0x80000000u) | (v & 0x7fffffffu)) >> 1) ^ ((0u - (v & 1u)) & 0x9908b0dfu);
}

static inline uint32_t tempered(uint32_t y) {
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

// In three loops, so that none reads what it writes within a vector.
static void twist(const uint32_t* __restrict old, uint32_t* __restrict fresh) {
  constexpr int SHORT = WORDS - LAG;
  for (int i = 0; i < SHORT; i++) fresh[i] = old[i + LAG] ^ mixed(old[i], old[i + 1]);
  for (int i = SHORT; i < 2 * SHORT; i++) fresh[i] = fresh[i - SHORT] ^ mixed(old[i], old[i + 1]);
  for (int i = 2 * SHORT; i < WORDS - 1; i++)
    fresh[i] = fresh[i - SHORT] ^ mixed(old[i], old[i + 1]);
  fresh[WORDS - 1] = fresh[LAG - 1] ^ mixed(old[WORDS - 1], fresh[0]);
}

struct Twister {
  uint32_t first[WORDS], second[WORDS];
  uint32_t *now = first, *other = second;
  int position;

  void uniform(float* out, int64_t count) {
    while (count > 0) {
      if (position == WORDS) {
        twist(now, other);
        std::swap(now, other);
        position = 0;
      }
      const int some = std::min<int64_t>(count, WORDS - position);
      const uint32_t* __restrict word = now + position;
      float* __restrict number = out;
      for (int i = 0; i < some; i++)
        number[i] = (float)(int32_t)(tempered(word[i]) & 0xffffffu) * 0x1p-24f;
      position += some;
      out += some;
      count -= some;
    }
  }
};

// Of groups of sixteen uniform numbers as many normal ones, in place.
static void transform(float* x, int64_t count) {
  constexpr int HALF = GROUP / 2, STEP = Vector::size();
  alignas(64) float radius[CHUNK / 2], angle[CHUNK / 2];
  const int64_t pairs = count / 2, padded = (pairs + STEP - 1) / STEP * STEP;
  for (int64_t group = 0; group < count / GROUP; group++)
    for (int i = 0; i < HALF; i++) {
      radius[group * HALF + i] = 1.0f - x[group * GROUP + i];
      angle[group * HALF + i] = 6.283185307179586f * x[group * GROUP + HALF + i];
    }
  for (int64_t i = pairs; i < padded; i++) radius[i] = angle[i] = 1.0f;
  for (int64_t i = 0; i < padded; i += STEP) {
    const Vector r = (Vector::loadu(radius + i).log() * Vector(-2.0f)).sqrt();
    const Vector a = Vector::loadu(angle + i);
    (r * a.cos()).store(radius + i);
    (r * a.sin()).store(angle + i);
  }
  for (int64_t group = 0; group < count / GROUP; group++)
    for (int i = 0; i < HALF; i++) {
      x[group * GROUP + i] = radius[group * HALF + i];
      x[group * GROUP + HALF + i] = angle[group * HALF + i];
    }
}

extern "C" void normal(State* state, float* out, int64_t count) {
  Twister twister;
  for (int i = 0; i < WORDS; i++) twister.now[i] = (uint32_t)state->words[i];
  twister.position = state->left == 1 ? WORDS : (int)state->next;
  const int64_t whole = count / GROUP * GROUP;
  for (int64_t start = 0; start < whole; start += CHUNK) {
    const int64_t some = std::min<int64_t>(CHUNK, whole - start);
    twister.uniform(out + start, some);
    transform(out + start, some);
  }
  if (whole < count) {
    float last[GROUP];
    twister.uniform(last, count - whole);
    twister.uniform(last, GROUP);
    transform(last, GROUP);
    std::memcpy(out + count - GROUP, last, sizeof last);
  }
  for (int i = 0; i < WORDS; i++) state->words[i] = twister.now[i];
  state->next = twister.position;
  state->left = WORDS + 1 - twister.position;
}
"""


def can_fill(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the loop draws contiguous tensors of a kind, and is worth it."""
    return device.type == "cpu" and dtype == torch.float32 and shape.numel() >= _FEWEST


@functools.cache
def fill_normal() -> FillNormal | None:
    """The compiled loop; None where it can't be compiled, or does not give torch's numbers.

    It gives the numbers of ``Tensor.normal_`` to rounding and leaves the generator in the very
    state, in a third of the time. It is compiled once, into inductor's cache on disk, and compared
    with torch before it is trusted.
    """
    try:
        normal = compile_cpp(_SOURCE).normal
        normal.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        normal.restype = None
        fill = functools.partial(_fill, normal)
        _compare(fill)
    except Exception as error:  # no compiler, another generator of torch's
        _LOG.info("normal numbers are drawn by torch alone: %s: %s", type(error).__name__, error)
        return None
    return fill


def _fill(normal: Callable[..., None], tensor: Tensor, generator: torch.Generator) -> None:
    state = generator.get_state()
    normal(state.data_ptr(), tensor.data_ptr(), tensor.numel())
    generator.set_state(state)


def _compare(fill: FillNormal) -> None:
    """Raise unless a fill gives torch's numbers, and leaves the generator where torch does."""
    torchs, here = (torch.Generator().manual_seed(1) for _ in range(2))
    for count in (1_000, 5_000, 1_031):  # from the start, across blocks of words, an odd number
        expected = torch.empty(count).normal_(generator=torchs)
        drawn = torch.empty(count)
        fill(drawn, here)
        if not torch.allclose(drawn, expected, rtol=1e-5, atol=1e-5):
            raise ValueError("the numbers are not those of torch")
        if not torch.equal(torchs.get_state(), here.get_state()):
            raise ValueError("the generator's state is not that of torch")
