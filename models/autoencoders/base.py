"""What a model with latent variables of each example can be asked, beside its density."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from bayesnas.checks import draw_count, shown, tensor, whole_number
from bayesnas.models.autoencoders import active_units
from bayesnas.models.autoencoders.decoder_likelihood import Observation
from bayesnas.models.base import BayesianModel
from bayesnas.models.contract.fit_defaults import FitDefaults
from bayesnas.scalars import is_whole
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr


class Autoencoder(BayesianModel):
    """A model of x with L latent variables of every example, which can encode and decode.

    A subclass sets the attributes and defines ``_code_of``, :meth:`scales`,
    :meth:`mean_of_latents` and :meth:`included`.

    Attributes:
        shape: of one example.
        latents: L.
        observation: p(x | f).
        range_warmup: share of the steps over which λ rises in a fit over a range of it.
        range_map: map from λ to parameters of such a fit.
    """

    task = "regression"
    reconstructs = True
    estimated = ("observation", "bias")
    shape: tuple[int, ...]
    latents: int
    observation: Observation
    _config: dict[str, Any]
    range_warmup: ClassVar[float] = 0.0
    range_map: ClassVar[str] = "piecewise"

    def fit_defaults(self, examples: int) -> FitDefaults:
        """Over a range of λ a warm-up and a map that keep dimensions open."""
        return FitDefaults(range_warmup=self.range_warmup, amortize=self.range_map)

    def config(self) -> dict[str, Any]:
        """Constructor arguments as JSON values."""
        return dict(self._config)

    def check(self, x: Tensor, y: Tensor, classes: int | None = None) -> None:
        """Examples of the model's shape, targets alike, pixels in [0, 1] for a Bernoulli."""
        self.observation.check("x", tensor("x", x))
        self.observation.check("y", y)

    def examples(self, x: Tensor) -> Tensor:
        """Examples ``[n, *shape]`` where the parameters are and of their type.

        Raises:
            ValueError: for another shape, or pixels outside [0, 1] for a Bernoulli.
        """
        self.observation.check("x", tensor("x", x))
        return x.to(next(self.parameters()))

    @torch.no_grad()
    @typed()
    def encode(self, x: Tensor) -> Tensor:
        """E[z | x] at the means of what examples share, ``[n, L]``.

        Raises:
            TypeError: for examples that are no tensor.
            ValueError: for examples of another shape than those of the model.
        """
        return self._code_of(self.examples(x))

    def _code_of(self, examples: Tensor) -> Tensor:
        """:meth:`encode` of what :meth:`examples` gives."""
        raise TypeError(f"{type(self).__name__} does not define _code_of(examples)")

    def scales(self) -> Tensor:
        """Mean scale γ of every latent dimension, ``[L]``."""
        raise TypeError(f"{type(self).__name__} does not define scales()")

    def mean_of_latents(self, z: Tensor) -> Tensor:
        """:meth:`decode_latents`, differentiable in z."""
        raise TypeError(f"{type(self).__name__} does not define mean_of_latents(z)")

    def included(self) -> Tensor:
        """Posterior probability that the scale of a dimension matters, ``[L]``."""
        raise TypeError(f"{type(self).__name__} does not define included()")

    @torch.no_grad()
    @typed()
    def decode_latents(self, z: Tensor) -> Tensor:
        """E[x | z] at the means of everything else, ``[n, *shape]``.

        Raises:
            TypeError: for latents that are no tensor.
        """
        return self.mean_of_latents(z)

    @typed()
    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x | z] at z = E[z | x], ``[n, *shape]``.

        Raises:
            TypeError: for examples that are no tensor.
            ValueError: for examples of another shape than those of the model.
        """
        return self.decode_latents(self.encode(x))

    @typed(unchecked=("fixed",))
    def generate(
        self,
        n: int,
        fixed: Mapping[int, float] | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw latents from their prior and decode them: means of new examples, ``[n, *shape]``.

        Args:
            n: how many.
            fixed: values of z to hold, by index of the latent dimension.
            generator: random state; torch's global one by default.

        Raises:
            ValueError: n is not a whole number ≥ 1, or an index is out of range.
            TypeError: for what is no mapping.
        """
        z = self.prior_latents(draw_count("n", n), generator)
        if fixed is not None and not isinstance(fixed, Mapping):
            raise TypeError(f"fixed must be a mapping from latent to value, got {shown(fixed)}")
        for latent, value in (fixed or {}).items():
            z[:, self._index("fixed", latent)] = value
        return self.decode_latents(z)

    def prior_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw latents of new examples from their prior, ``[n, L]``: standard normal ones."""
        device = self.scales().device
        return torch.randn(n, self.latents, generator=generator, device=device)

    @typed()
    def traverse(self, latent: int, values: Sequence[float], x: Tensor | None = None) -> Tensor:
        """Means as one latent dimension moves, ``[values, *shape]``.

        Args:
            latent: index of the dimension.
            values: of z in that dimension.
            x: one example ``shape`` to start from; without it the others are at 0.

        Raises:
            ValueError: the index is out of range.
        """
        index = self._index("latent", latent)
        start = self.scales().new_zeros(1, self.latents) if x is None else self.encode(x[None])
        z = start.repeat(len(values), 1)
        z[:, index] = z.new_tensor(list(values))
        return self.decode_latents(z)

    def _index(self, name: str, latent: Any) -> int:
        if not is_whole(latent) or not 0 <= latent < self.latents:
            raise ValueError(
                f"{name}: a latent index must be a whole number in 0…{self.latents - 1}, "
                f"got {shown(latent)}"
            )
        return int(latent)

    @typed()
    def measures(self, x: Tensor) -> xr.Dataset:
        """How relevant each latent dimension is, by three measures; see ``active_units``.

        Raises:
            TypeError: for examples that are no tensor.
            ValueError: for examples of another shape than those of the model.
        """
        return active_units.measures(self, x)

    @typed()
    def active(self, x: Tensor, by: str = "variance") -> Tensor:
        """Which dimensions are used, boolean ``[L]``.

        Args:
            x: examples ``[n, *shape]``.
            by: ``"gamma"``, ``"variance"`` or ``"sensitivity"``; see
                :func:`bayesnas.models.autoencoders.active_units.active`.

        Raises:
            TypeError: for examples that are no tensor.
            ValueError: for examples of another shape than those of the model, or an unknown
                measure.
        """
        return active_units.active(self, x, by)


def checked_shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    """Return the shape of an example as a tuple; it must hold at least two values.

    >>> checked_shape(784)
    (784,)
    """
    sizes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    checked = tuple(whole_number("shape", size) for size in sizes)
    if math.prod(checked) < 2:
        raise ValueError(f"shape must hold at least two values, got {list(checked)}")
    return checked
