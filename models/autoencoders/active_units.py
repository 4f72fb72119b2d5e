"""Which latent dimensions an autoencoder uses: by γ, by posterior means, by its decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.autograd.functional import jvp

from bayesnas.checks import choice

if TYPE_CHECKING:
    import xarray as xr

MEASURES = ("gamma", "variance", "sensitivity")
_ACTIVE_VARIANCE = 0.01
_SHARE = 0.99


class Coder(Protocol):
    """What is asked of an :class:`~bayesnas.models.autoencoders.base.Autoencoder`."""

    def encode(self, x: Tensor) -> Tensor:
        """E[z | x], ``[n, L]``."""
        ...

    def scales(self) -> Tensor:
        """Mean scale of every latent dimension, ``[L]``."""
        ...

    def included(self) -> Tensor:
        """Probability that each dimension is used, ``[L]``."""
        ...

    def mean_of_latents(self, z: Tensor) -> Tensor:
        """E[x | z], ``[n, *shape]``."""
        ...


def measures(model: Coder, x: Tensor) -> xr.Dataset:
    r"""Three measures of every latent dimension, dim ``latent``.

    - ``gamma``: E γ_l.
    - ``variance``: Var_x(E[z_l | x]) (Burda, Grosse, Salakhutdinov 2016).
    - ``sensitivity``: :math:`\sum_d (\mathrm{mean}_n |\partial \hat x_{nd} / \partial z_l|)^2`
      (Saha, Joshi, Whitaker 2025; z has unit prior variance).

    Args:
        model: a fitted one.
        x: examples ``[n, *shape]``.
    """
    import xarray as xr

    z = model.encode(x)
    by_name = {
        "gamma": model.scales(),
        "variance": z.var(0),
        "sensitivity": sensitivity(model, z),
    }
    return xr.Dataset({name: ("latent", value.cpu().numpy()) for name, value in by_name.items()})


def sensitivity(model: Coder, z: Tensor) -> Tensor:
    """How far the decoded means move with each dimension of z, ``[L]``; see :func:`measures`."""
    total = []
    for latent in range(z.shape[1]):
        direction = torch.zeros_like(z)
        direction[:, latent] = 1.0
        _, slope = jvp(model.mean_of_latents, z, direction)
        total.append(slope.abs().mean(0).square().sum())
    return torch.stack(total)


def active(model: Coder, x: Tensor, by: str) -> Tensor:
    """Which dimensions are used, boolean ``[L]``.

    Args:
        model: a fitted one.
        x: examples ``[n, *shape]``.
        by: ``"gamma"``: included with probability above ½; ``"variance"``: above 0.01;
            ``"sensitivity"``: the smallest set with more than 99 % of the total.

    Raises:
        ValueError: ``by`` is none of these.
    """
    choice("by", by, MEASURES)
    if by == "gamma":
        return model.included() > 0.5
    z = model.encode(x)
    if by == "variance":
        return z.var(0) > _ACTIVE_VARIANCE
    return smallest_share(sensitivity(model, z), _SHARE)


def smallest_share(values: Tensor, share: float) -> Tensor:
    """Mark the smallest set of entries that sums to more than ``share`` of the total.

    >>> smallest_share(torch.tensor([0.5, 10.0, 89.5]), 0.99)
    tensor([False,  True,  True])
    """
    order = values.argsort(descending=True)
    before = values[order].double().cumsum(0) - values[order].double()
    marked = torch.zeros_like(values, dtype=torch.bool)
    marked[order] = before <= share * values.double().sum()
    return marked
