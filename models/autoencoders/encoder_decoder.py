"""Encoders and decoders of a variational autoencoder, of the first layer's output on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

_CHANNELS = (32, 64)


class Networks(nn.Module):
    """An encoder, and the part of a decoder that follows its first, linear layer.

    Args:
        shape: of one example.
        latents: number L of latent dimensions.
        network: ``"mlp"`` or ``"convolution"``.
        hidden: widths of the hidden layers of an MLP's encoder, in the decoder in reverse;
            none for a linear encoder and decoder.
        heads: numbers that the encoder gives of every latent dimension.

    Attributes:
        encoder: ``[n, *shape]`` to ``[n, heads · L]``.
        rest: ``[n, first]`` to ``[n, values of an example]``.
        first: number of outputs of the decoder's first layer.

    Raises:
        ValueError: for convolutions on something that is no image ``(channels, height, width)``
            with height and width divisible by 4.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latents: int,
        network: str,
        hidden: Sequence[int],
        heads: int = 2,
    ) -> None:
        """Build both; see the class."""
        super().__init__()
        self._count = heads
        self._has_tanh = network == "mlp" and len(hidden) > 0
        if network == "mlp":
            self.encoder = _mlp([math.prod(shape), *hidden, heads * latents], flatten=True)
            widths = [*reversed(hidden), math.prod(shape)]
            self.first = widths[0]
            self.rest = nn.Sequential(nn.Tanh(), *_mlp(widths)) if hidden else nn.Sequential()
            return
        self._check_image(shape)
        channels, height, width = shape
        few, many = _CHANNELS
        self.first = many * (height // 4) * (width // 4)
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, few, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(few, many, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(self.first, heads * latents),
        )
        self.rest = nn.Sequential(
            nn.Tanh(),
            nn.Unflatten(1, (many, height // 4, width // 4)),
            nn.ConvTranspose2d(many, few, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(few, channels, 4, stride=2, padding=1),
            nn.Flatten(),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the parts of the encoder's output, one a head, ``[n, L]`` each."""
        parts: tuple[Tensor, ...] = self.encoder(x).chunk(self._count, dim=-1)
        return parts

    @property
    def heads(self) -> nn.Linear:
        """The encoder's last layer, outputs ``[heads · L]``, head by head."""
        last = self.encoder[-1]
        assert isinstance(last, nn.Linear)
        return last

    def reset(self) -> None:
        """Draw all weights anew.

        By each layer's own ``reset_parameters``; those of linear layers by Glorot and Bengio
        (2010) where tanh follows, since the default ones are so small that tanh layers pass
        almost nothing on and every latent dimension closes.
        """
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                module.reset_parameters()
        for module in self.modules():
            if isinstance(module, nn.Linear) and self._has_tanh:
                nn.init.xavier_uniform_(module.weight, gain=nn.init.calculate_gain("tanh"))
                nn.init.zeros_(module.bias)

    def _check_image(self, shape: Sequence[int]) -> None:
        if len(shape) != 3 or shape[1] % 4 or shape[2] % 4:
            raise ValueError(
                "network='convolution' takes shape=(channels, height, width) with height and "
                f"width divisible by 4, got {list(shape)}"
            )


def _mlp(widths: Sequence[int], *, flatten: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()] if flatten else []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*layers[:-1])
