"""Likelihoods p(y | f): what turns a network's output into a distribution of the target."""

from __future__ import annotations

import difflib
from typing import Literal

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from bayesnas.checks import choice, positive, shown


class Likelihood(nn.Module):
    """p(y | f) for network outputs f, one row an example.

    Subclasses say which targets they take (:meth:`check`) and give the distribution of a
    batch (:meth:`forward`), with batch shape ``[n]``.
    """

    name: str
    task: Literal["classification", "regression"]

    def forward(self, output: Tensor) -> dist.TorchDistribution:
        """Distribution of the targets given outputs ``[n, ...]``; batch shape ``[n]``."""
        raise TypeError(f"{type(self).__name__} does not define forward(output)")

    def check(self, output_shape: torch.Size, y: Tensor, classes: int | None = None) -> None:
        """Raise ValueError where targets ``y`` do not fit outputs of ``output_shape``."""

    def target(self, y: Tensor) -> Tensor:
        """Targets in the type that the distribution observes."""
        return y

    def config(self) -> dict[str, object]:
        """Arguments of :func:`make_likelihood` that rebuild it, as JSON values."""
        return {"likelihood": self.name}


class Categorical(Likelihood):
    """y ∈ {0…C−1} with probabilities softmax(f), f of shape ``[n, C]``."""

    name = "categorical"
    task = "classification"

    def forward(self, output: Tensor) -> dist.TorchDistribution:
        """Categorical with logits ``[n, C]``."""
        return dist.Categorical(logits=output)

    def check(self, output_shape: torch.Size, y: Tensor, classes: int | None = None) -> None:
        """Whole labels, one an example, and as many outputs as classes."""
        if y.is_floating_point() or y.ndim != 1:
            raise ValueError(
                "y must hold whole class labels of shape [n] for likelihood='categorical', "
                f"got {y.dtype} of shape {list(y.shape)}"
            )
        width = output_shape[-1]
        if len(output_shape) != 2 or (classes is not None and width != classes):
            expected = "[n, classes]" if classes is None else f"[n, {classes}]"
            raise ValueError(
                f"net must give outputs of shape {expected} for likelihood='categorical' on data "
                f"of {classes if classes is not None else 'any number of'} classes, "
                f"got {['n', *output_shape[1:]]}"
            )
        low, high = int(y.min()), int(y.max())
        if low < 0 or high >= width:
            raise ValueError(
                f"y must hold labels in 0…{width - 1} (the net has {width} outputs), "
                f"got labels from {low} to {high}"
            )


class Bernoulli(Likelihood):
    """y ∈ {0, 1} with probability σ(f), f of shape ``[n]``, ``[n, 1]`` or ``[n, k]``."""

    name = "bernoulli"
    task = "classification"

    def forward(self, output: Tensor) -> dist.TorchDistribution:
        """Bernoulli with logits ``[n]``, or ``[n, k]`` as one event."""
        logits = output.squeeze(-1) if output.ndim == 2 and output.shape[-1] == 1 else output
        found: dist.TorchDistribution = dist.Bernoulli(logits=logits).to_event(logits.ndim - 1)
        return found

    def target(self, y: Tensor) -> Tensor:
        """Zeros and ones as floating-point numbers."""
        return y.to(torch.get_default_dtype())

    def check(self, output_shape: torch.Size, y: Tensor, classes: int | None = None) -> None:
        """Zeros and ones of the shape of the outputs."""
        _check_same_shape("bernoulli", output_shape, y)
        if not bool(((y == 0) | (y == 1)).all()):
            raise ValueError(
                "y must hold zeros and ones for likelihood='bernoulli', "
                f"got values from {y.min().item():g} to {y.max().item():g}"
            )


class Gaussian(Likelihood):
    """y ~ N(f, s²), s the noise scale: a fixed number, or learned by maximum likelihood.

    Args:
        noise_scale: standard deviation of the noise in units of y, or None to learn it
            (it starts at 1).
    """

    name = "gaussian"
    task = "regression"

    def __init__(self, noise_scale: float | None = None) -> None:
        """Fix or create the noise scale; see the class."""
        super().__init__()
        if noise_scale is not None:
            try:
                noise_scale = positive("noise_scale", noise_scale)
            except ValueError:
                raise ValueError(
                    f"noise_scale must be a number > 0 or None, got {shown(noise_scale)}"
                ) from None
        self.fixed_scale = noise_scale
        log_scale = torch.tensor(1.0 if self.fixed_scale is None else self.fixed_scale).log()
        if noise_scale is None:
            self.log_noise_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_noise_scale", log_scale)

    @property
    def noise_scale(self) -> Tensor:
        """Current standard deviation of the noise, a scalar tensor."""
        return self.log_noise_scale.exp()

    def forward(self, output: Tensor) -> dist.TorchDistribution:
        """Normal with means ``[n]``, or ``[n, k]`` as one event."""
        loc = output.squeeze(-1) if output.ndim == 2 and output.shape[-1] == 1 else output
        found: dist.TorchDistribution = dist.Normal(loc, self.noise_scale).to_event(loc.ndim - 1)
        return found

    def check(self, output_shape: torch.Size, y: Tensor, classes: int | None = None) -> None:
        """Targets of the shape of the outputs."""
        _check_same_shape("gaussian", output_shape, y)

    def config(self) -> dict[str, object]:
        """Arguments of :func:`make_likelihood` that rebuild it, as JSON values."""
        return {"likelihood": self.name, "noise_scale": self.fixed_scale}


_KINDS: dict[str, type[Likelihood]] = {
    kind.name: kind for kind in (Categorical, Bernoulli, Gaussian)
}


def make_likelihood(likelihood: str, noise_scale: float | None = None) -> Likelihood:
    """Build a likelihood by name.

    Args:
        likelihood: ``"categorical"``, ``"bernoulli"`` or ``"gaussian"``.
        noise_scale: for ``"gaussian"`` only: standard deviation of the noise, None to learn it.

    Raises:
        ValueError: for an unknown name, or a noise scale where there is no noise.

    >>> make_likelihood("gaussian", noise_scale=0.5).noise_scale
    tensor(0.5000)
    """
    near = difflib.get_close_matches(str(likelihood), _KINDS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    choice("likelihood", likelihood, sorted(_KINDS), hint)
    if likelihood == "gaussian":
        return Gaussian(noise_scale)
    if noise_scale is not None:
        raise ValueError(f"noise_scale goes with likelihood='gaussian', got {likelihood!r}")
    return _KINDS[likelihood]()


def _check_same_shape(name: str, output_shape: torch.Size, y: Tensor) -> None:
    shape = list(output_shape[:-1] if output_shape[-1:] == (1,) else output_shape)[1:]
    if list(y.shape[1:]) != shape:
        raise ValueError(
            f"y must have shape {['n', *shape]} for likelihood={name!r} and a net with outputs "
            f"{['n', *output_shape[1:]]}, got {['n', *y.shape[1:]]}"
        )
