"""The evidence by Laplace's method: a Gaussian about the mode of the posterior."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from bayesnas.inference.evaluation.predictive import posterior_means
from bayesnas.inference.evidence.log_joint import Coordinates, log_joint
from bayesnas.inference.evidence.result import Evidence
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream

MOST_COORDINATES = 4096
"""Of which the Hessian is taken, a row by a backward pass."""

Structure = Literal["full", "diagonal"]
Energy = Callable[[Tensor], Tensor]
_MOST_ITERATIONS = 500
_MOST_DECREMENT = 0.1  # nats between where the search stopped and the maximum, by Newton's step


def laplace_evidence(
    model: BayesianModel, x: Tensor, y: Tensor, structure: Structure, seed: int
) -> Evidence:
    r"""Ln p(y | x) by a quadratic expansion of the log joint density at its maximum ŵ.

    .. math:: \ln p(y | x) \approx \ln p(y, \hat w | x) + \tfrac d2 \ln 2\pi
        - \tfrac12 \ln\det H, \qquad H = -\nabla^2 \ln p(y, w | x) |_{\hat w}

    ŵ is searched from the means of the guide by L-BFGS, in double precision where the model's type
    can be changed, over coordinates without constraints whose Jacobian is counted, as in Pyro's
    ``AutoLaplaceApproximation``. Networks have many modes; this is the mass about one of them.
    H is that of second derivatives, not of Gauss and Newton. ``"diagonal"`` leaves out what stands
    off its diagonal, and is smaller: by Hadamard ln det H ≤ Σ ln H_jj.

    References:
        MacKay, *Bayesian interpolation*, 1992; Tierney, Kadane, *Accurate approximations for
        posterior moments and marginal densities*, 1986.

    Raises:
        ValueError: for latents that are discrete, partly at one value, of every example or too
            many, or where no maximum is found.
    """
    if not model.takes_data_as_given:
        model = copy.deepcopy(model).double()
        x, y = (v.double() if v.is_floating_point() else v for v in (x, y))
    model.eval()
    means = posterior_means(model, model.few_rows(x))
    stream = RandomStream(seed, x.device)
    with pyro_session(stream):
        coordinates = Coordinates.of(model, model.few_rows(x), means)
    if coordinates.size > MOST_COORDINATES:
        raise ValueError(
            f"Laplace's method takes at most {MOST_COORDINATES:,} latent values, of which the "
            f"Hessian is formed, got {coordinates.size:,}: take method='importance'"
        )

    def energy(point: Tensor) -> Tensor:
        values, log_jacobian = coordinates.values(point)
        return -log_joint(model, x, y, values) - log_jacobian

    with pyro_session(stream):
        mode = _minimised(energy, coordinates.start())
        value, gradient, hessian = _derivatives(energy, mode)
    log_det, decrement = _factored(hessian, gradient, structure)
    # A step of Newton's from where the search stopped; zero at a maximum.
    estimate = -value + decrement + 0.5 * coordinates.size * math.log(2 * math.pi) - 0.5 * log_det
    method = "laplace" if structure == "full" else "laplace-diagonal"
    return Evidence(estimate, 0.0, -math.inf, math.inf, method)


def _minimised(energy: Energy, start: Tensor) -> Tensor:
    point = start.clone().requires_grad_()
    search = torch.optim.LBFGS(
        [point],
        max_iter=_MOST_ITERATIONS,
        tolerance_grad=1e-9,
        tolerance_change=1e-12,
        history_size=50,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        search.zero_grad()
        loss = energy(point)
        loss.backward()
        return loss

    search.step(closure)
    return point.detach()


def _derivatives(energy: Energy, point: Tensor) -> tuple[float, Tensor, Tensor]:
    """Value, gradient and Hessian, the last two in double precision."""
    point = point.clone().requires_grad_()
    value = energy(point)
    (gradient,) = torch.autograd.grad(value, point, create_graph=True)
    rows = [torch.autograd.grad(entry, point, retain_graph=True)[0] for entry in gradient]
    hessian = torch.stack(rows).double()
    return value.item(), gradient.detach().double(), (hessian + hessian.mT) / 2


def _factored(hessian: Tensor, gradient: Tensor, structure: Structure) -> tuple[float, float]:
    """Ln det H, and what a step of Newton's would gain, ½ gᵀ H⁻¹ g.

    Raises:
        ValueError: where H has a direction that does not fall, or much would be gained.
    """
    factor, info = torch.linalg.cholesky_ex(hessian)
    if info.item() or not factor.isfinite().all():
        raise ValueError(
            "Laplace's method found no maximum of the log joint density: it is flat or curved "
            "upwards where the search ended. Take method='importance'"
        )
    half = torch.linalg.solve_triangular(factor, gradient[:, None], upper=False)
    decrement = 0.5 * half.square().sum().item()
    if decrement > _MOST_DECREMENT:
        raise ValueError(
            f"Laplace's method found no maximum of the log joint density in {_MOST_ITERATIONS} "
            f"iterations: about {decrement:.2g} nats are missing. Take method='importance'"
        )
    diagonal = factor.diagonal().square() if structure == "full" else hessian.diagonal()
    return diagonal.log().sum().item(), decrement
