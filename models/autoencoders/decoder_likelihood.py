"""How an example is observed given what a decoder says: pixels, or values with noise."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from bayesnas.checks import choice, flag, positive

NOISE = "pixel.noise"


class Observation(nn.Module):
    r"""p(x | f) of examples of any shape, their values independent given f.

    With ``binarize`` the values of an example are probabilities: each time it is seen, its pixels
    are drawn anew,

    .. math:: u_d \sim U(0, 1),\qquad b_d = 1[u_d < x_d],

    and encoder and likelihood both see b (Salakhutdinov, Murray 2008). u is a site of model and
    guide alike, so it adds nothing to the KL.

    Args:
        shape: of one example.
        likelihood: ``"bernoulli"``, f the logits, or ``"gaussian"``, f the means.
        noise_scale: standard deviation of a Gaussian likelihood, None to learn it.
        binarize: see above; for ``"bernoulli"``.

    Raises:
        ValueError: naming the argument, what came and what was expected.

    >>> import torch
    >>> pixels = Observation((2, 2), "bernoulli")
    >>> pixels(torch.zeros(5, 2, 2)).log_prob(torch.ones(5, 2, 2)).exp()[0]  # ½⁴
    tensor(0.0625)
    """

    def __init__(
        self,
        shape: Sequence[int],
        likelihood: str,
        noise_scale: float | None = None,
        binarize: bool = False,
    ) -> None:
        """Fix or create the noise scale; see the class."""
        super().__init__()
        self.shape = tuple(shape)
        self.likelihood = choice("likelihood", likelihood, ("bernoulli", "gaussian"))
        self.binarize = flag("binarize", binarize)
        self.noise_scale_given = noise_scale
        self._is_learned = likelihood == "gaussian" and noise_scale is None
        if likelihood == "bernoulli":
            if noise_scale is not None:
                raise ValueError(
                    f"noise_scale goes with likelihood='gaussian', got {noise_scale!r}"
                )
        elif self.binarize:
            raise ValueError("binarize goes with likelihood='bernoulli', got 'gaussian'")
        elif noise_scale is None:
            self.log_noise_scale = nn.Parameter(torch.zeros(()))
        else:
            self.noise_scale_given = positive("noise_scale", noise_scale)
            fixed = torch.tensor(self.noise_scale_given).log()
            self.register_buffer("log_noise_scale", fixed)

    def forward(self, output: Tensor) -> TorchDistribution:
        """Distribution given f ``[n, *shape]``; batch ``[n]``, event ``shape``."""
        values: TorchDistribution
        if self.likelihood == "bernoulli":
            # Grey values are observed as they are: cross-entropy, as is usual for images.
            values = dist.Bernoulli(logits=output, validate_args=False)
        else:
            values = dist.Normal(output, self.log_noise_scale.exp())
        return dist.Independent(values, len(self.shape))

    def mean(self, output: Tensor) -> Tensor:
        """E[x | f], ``[n, *shape]``, differentiable."""
        return output.sigmoid() if self.likelihood == "bernoulli" else output

    def seen(self, x: Tensor, target: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What encoder and likelihood see of examples; called by both inside the data plate."""
        if not self.binarize:
            return x, target
        uniform = dist.Uniform(torch.zeros_like(x), torch.ones_like(x), validate_args=False)
        noise = pyro.sample(NOISE, uniform.to_event(len(self.shape)))
        return (noise < x).to(x), None if target is None else (noise < target).to(target)

    @torch.no_grad()
    def reset(self) -> None:
        """Set a learned noise scale back to 1."""
        if self._is_learned:
            self.log_noise_scale.zero_()

    def check(self, name: str, values: Tensor) -> None:
        """Raise ValueError unless values have the right shape, and for a Bernoulli are in [0, 1].

        Args:
            name: of the argument, for the message.
            values: ``[n, *shape]``.
        """
        if tuple(values.shape[1:]) != self.shape:
            hint = " (fit to pairs (x, x))" if name == "y" else ""
            raise ValueError(
                f"{name} must have shape {['n', *self.shape]}{hint}, got {['n', *values.shape[1:]]}"
            )
        low, high = float(values.min()), float(values.max())
        if self.likelihood == "bernoulli" and not (low >= 0 and high <= 1):
            raise ValueError(
                f"{name}: pixels must be in [0, 1] for likelihood='bernoulli', got values from "
                f"{low:g} to {high:g}"
            )
