"""Noise on what a layer takes, while the net is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bayesnas.checks import non_negative
from bayesnas.typed import typed


@typed()
class GaussianNoise(nn.Module):
    r"""Adds N(0, scale²) to every number in training, and nothing otherwise.

    In front of a net it makes each example a cloud of inputs. To first order that penalises the
    squared gradient of the outputs (Bishop 1995), also along inputs that are 0 in most examples,
    which neither dropout nor noise on the weights moves. In SVI the noise is one more latent
    variable, whose guide is its prior:

    .. math:: E_\varepsilon \log p(y \mid f(x + \varepsilon))
        \le \log E_\varepsilon p(y \mid f(x + \varepsilon)),

    so the bound stays a bound, on the evidence of the model with noisy inputs.

    Args:
        scale: standard deviation σ >= 0, in units of the input.

    Raises:
        ValueError: for a scale that is negative, infinite or no number.

    Shape: any; the output has that of the input.

    References:
        Bishop, *Training with noise is equivalent to Tikhonov regularization*, 1995.

    >>> from bayesnas.nn import mlp
    >>> net = nn.Sequential(GaussianNoise(0.2), *mlp([4, 8, 3], "tanh"))
    >>> x = torch.ones(1, 4)
    >>> bool((net(x) == net(x)).all()), bool((net.eval()(x) == net(x)).all())
    (False, True)
    """

    def __init__(self, scale: float) -> None:
        """Keep the scale; see the class."""
        super().__init__()
        self.scale = non_negative("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """Return x + ε in training, else x."""
        return x + self.scale * torch.randn_like(x) if self.training else x

    def extra_repr(self) -> str:
        """Arguments, as ``repr`` shows them."""
        return f"scale={self.scale:g}"
