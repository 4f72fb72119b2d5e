"""An estimate of the log evidence, with what is known of its error."""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class PathPoint:
    r"""What a guide says of the tempered posterior :math:`p(w)\, p(y | x, w)^\beta / Z_\beta`.

    Attributes:
        power: β = 1/λ.
        expected_log_lik: E ln p(y | x, w) over the tempered posterior, by importance weights where
            ``is_weighted``, else over the guide.
        error: its standard error.
        weighted_log_lik: the same by importance weights, whatever k̂ is.
        log_normaliser: ln Z_β by importance weights.
        log_normaliser_error: its standard error.
        tempered_bound: β E_q ln p(y | x, w) − KL(q ‖ p), at most ln Z_β.
        bound: E_q ln p(y | x, w) − KL(q ‖ p), at most the log evidence.
        pareto_k: k̂ of the guide against the tempered posterior.
        is_weighted: whether k̂ lets the weights be used.
    """

    power: float
    expected_log_lik: float
    error: float
    weighted_log_lik: float
    log_normaliser: float
    log_normaliser_error: float
    tempered_bound: float
    bound: float
    pareto_k: float
    is_weighted: bool


@dataclass(frozen=True)
class Evidence:
    r"""Ln p(y | x) of a model in nats, :math:`\ln \int p(y | x, w)\, p(w)\, dw`.

    Attributes:
        log_evidence: the estimate.
        error: its Monte Carlo standard error; 0 where nothing is drawn. The error of an
            approximation is not in it.
        lower: a lower bound, −inf where none is known.
        upper: an upper bound, inf where none is known.
        method: ``"exact"``, ``"elbo"``, ``"importance"``, ``"laplace"``, ``"laplace-diagonal"`` or
            ``"thermodynamic"``.
        pareto_k: the largest k̂ of importance weights that it rests on; NaN without any.
        warning: why not to trust it; empty where nothing speaks against it.
        path: the points of a thermodynamic integration, λ falling.

    >>> Evidence(-12.34, 0.01, -12.5, -12.3, "importance", 0.2)
    Evidence(-12.34 ± 0.01 nats in [-12.50, -12.30], importance, k̂ = 0.20)
    """

    log_evidence: float
    error: float
    lower: float
    upper: float
    method: str
    pareto_k: float = math.nan
    warning: str = ""
    path: tuple[PathPoint, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The attributes by name, as JSON takes them; the path as a list."""
        return asdict(self)

    def warned(self) -> Evidence:
        """Itself, after its warning, if there is one, was given as a ``UserWarning``."""
        if self.warning:
            warnings.warn(self.warning, UserWarning, stacklevel=4)
        return self

    def __repr__(self) -> str:
        """Estimate, standard error, bracket and method on one line."""
        error = f" ± {self.error:.2f}" if self.error else ""
        known = math.isfinite(self.lower) or math.isfinite(self.upper)
        inside = f" in [{self.lower:.2f}, {self.upper:.2f}]" if known and self.error else ""
        k = "" if math.isnan(self.pareto_k) else f", k̂ = {self.pareto_k:.2f}"
        return f"Evidence({self.log_evidence:.2f}{error} nats{inside}, {self.method}{k})"
