"""Images that are sums of four glyphs and noise: a test of latent feature models."""

from __future__ import annotations

import torch
from torch import Tensor

from bayesnas.checks import draw_count, non_negative, seed_number
from bayesnas.typed import typed

_ROWS = (
    "010000 111000 010000 000000 000000 000000",
    "000111 000101 000111 000000 000000 000000",
    "000000 000000 000000 100000 110000 111000",
    "000000 000000 000000 000111 000010 000010",
)


def glyphs() -> Tensor:
    """The four 6 × 6 glyphs of Griffiths and Ghahramani (2011), zeros and ones, ``[4, 36]``.

    >>> glyphs().sum(1)
    tensor([5., 8., 6., 5.])
    """
    return torch.tensor([[float(digit) for digit in row.replace(" ", "")] for row in _ROWS])


@typed()
def glyph_images(n: int = 100, *, noise_scale: float = 0.5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw images, each with every glyph with probability ½, and Gaussian noise.

    Args:
        n: how many.
        noise_scale: standard deviation of the noise.
        seed: of the draws; torch's random state is left as it was.

    Returns:
        images ``[n, 36]``, and which glyphs are in them ``[n, 4]``, zeros and ones.

    Raises:
        ValueError: naming a number out of range.

    >>> x, z = glyph_images(3)
    >>> x.shape, z.shape
    (torch.Size([3, 36]), torch.Size([3, 4]))
    """
    n, noise_scale = draw_count("n", n), non_negative("noise_scale", noise_scale)
    generator = torch.Generator().manual_seed(seed_number("seed", seed))
    z = torch.bernoulli(torch.full((n, 4), 0.5), generator=generator)
    return z @ glyphs() + noise_scale * torch.randn(n, 36, generator=generator), z
