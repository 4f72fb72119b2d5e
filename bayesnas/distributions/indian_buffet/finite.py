"""Indian buffets with finitely many dishes: Beta–Bernoulli, and by breaking a stick."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Beta, constraints

from bayesnas.checks import positive_scalar, size, whole_number
from bayesnas.distributions.indian_buffet.two_parameter import check_binary, log_repetitions
from bayesnas.distributions.shape import Shape
from bayesnas.typed import typed


@typed(unchecked=("mass", "concentration"))
class BetaBernoulliBuffet(TorchDistribution):
    r"""The Indian buffet with K dishes, of which it is the limit K → ∞.

    .. math:: \pi_k \sim \mathrm{Beta}(\alpha\beta/K,\ \beta), \qquad
        z_{nk} \mid \pi_k \sim \mathrm{Bernoulli}(\pi_k)

    with π integrated out: its draws and probabilities are those of Z alone.

    Args:
        mass: α > 0.
        concentration: β > 0.
        customers: N ≥ 1.
        dishes: K ≥ 1.

    Raises:
        ValueError: naming the argument, what came and what was expected.

    Shapes:
        batch ``()``; event ``[customers, dishes]``.

    References:
        Griffiths, Ghahramani, 2005; Ghahramani, Griffiths, Sollich, 2007.

    >>> finite = BetaBernoulliBuffet(1.0, 1.0, customers=3, dishes=4)
    >>> finite.expected_row_sum  # α / (1 + α/K)
    tensor(0.8000)
    """

    arg_constraints = {  # noqa: RUF012
        "mass": constraints.positive,
        "concentration": constraints.positive,
    }
    support = constraints.independent(constraints.boolean, 2)
    has_rsample = False

    def __init__(
        self,
        mass: float | Tensor,
        concentration: float | Tensor,
        customers: int,
        dishes: int,
        validate_args: bool | None = None,
    ) -> None:
        """Check the parameters; see the class."""
        self.mass = positive_scalar("mass", mass)
        self.concentration = positive_scalar("concentration", concentration)
        self.customers = whole_number("customers", customers)
        self.dishes = size("dishes", dishes)
        event = torch.Size((self.customers, self.dishes))
        super().__init__(torch.Size(), event, validate_args=validate_args)

    @property
    def _shape(self) -> Tensor:
        """αβ / K in double precision."""
        return self.mass.double() * self.concentration.double() / self.dishes

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw π, then Z; zeros and ones as floats."""
        shape = torch.Size(sample_shape)
        with torch.no_grad():
            beta = Beta(self._shape, self.concentration.double())
            popularity = beta.sample((*shape, 1, self.dishes)).to(self.mass.dtype)
            return torch.bernoulli(popularity.expand(*shape, *self.event_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Ln P(Z) of the matrix itself, columns in their order."""
        self._check(value)
        counts = value.sum(-2).long()
        a, b = self._shape, self.concentration.double()
        # Customer by customer: a difference of beta functions has no digits where a, b are large.
        served = torch.arange(self.customers, device=a.device, dtype=torch.float64)
        takes, leaves = (F.pad((c + served).log().cumsum(0), (1, 0)) for c in (a, b))
        each = takes[counts] + leaves[self.customers - counts] - (a + b + served).log().sum()
        return each.sum(-1).to(self.mass.dtype)

    @typed()
    def log_prob_of_class(self, value: Tensor) -> Tensor:
        """Ln P([Z]): summed over the K! / ∏ K_h! orders of the columns.

        Raises:
            TypeError: for a value that is no tensor.
            ValueError: for one that is not binary or not of the event's shape.
        """
        z, orders = value.double(), math.lgamma(self.dishes + 1)
        everyone = torch.ones_like(z[..., 0, :], dtype=torch.bool)
        return self.log_prob(value) + (orders - log_repetitions(z, everyone)).to(self.mass.dtype)

    @property
    def mean(self) -> Tensor:
        """α / (K + α) everywhere."""
        return (self.mass / (self.dishes + self.mass)).expand(self.event_shape)

    @property
    def expected_row_sum(self) -> Tensor:
        """Mean number of dishes of a customer, α / (1 + α/K)."""
        return self.mass / (1 + self.mass / self.dishes)

    @property
    def expected_dishes(self) -> Tensor:
        """Mean number of dishes that anybody took, K (1 − B(αβ/K, N + β) / B(αβ/K, β))."""
        # Over customers, each of whom leaves a dish that nobody took with probability
        # (β + n)/(β + n + αβ/K): log_beta's difference has no digits where αβ/K is small.
        served = self.concentration.double() + torch.arange(
            self.customers, device=self.mass.device, dtype=torch.float64
        )
        log_untaken = -torch.log1p(self._shape / served).sum()
        return (-self.dishes * torch.expm1(log_untaken)).to(self.mass.dtype)

    def _check(self, value: Tensor) -> None:
        check_binary("value", value, self.customers)
        if value.shape[-1] != self.dishes:
            raise ValueError(f"value must have {self.dishes} columns, got {value.shape[-1]}")


@typed(unchecked=("mass", "concentration"))
class StickBreakingBuffet(TorchDistribution):
    r"""Popularities of the K most popular dishes of an Indian buffet with β = 1.

    .. math:: \nu_k \sim \mathrm{Beta}(\alpha, 1), \qquad \pi_k = \prod_{i \le k} \nu_i

    Given π, customers choose independently, :math:`z_{nk} \sim \mathrm{Bernoulli}(\pi_k)`.
    Dropping the dishes after the K-th loses :math:`\alpha (\alpha / (1 + \alpha))^K` dishes a
    customer in the mean.

    Args:
        mass: α > 0.
        dishes: K ≥ 1, where the stick is no longer broken.

    Raises:
        ValueError: naming the argument, what came and what was expected.

    Shapes:
        batch ``()``; event ``[dishes]``, falling.

    References:
        Teh, Görür, Ghahramani, *Stick-breaking construction for the Indian buffet process*, 2007.

    >>> StickBreakingBuffet(1.0, dishes=3).mean
    tensor([0.5000, 0.2500, 0.1250])
    """

    arg_constraints = {"mass": constraints.positive}  # noqa: RUF012
    support = constraints.independent(constraints.unit_interval, 1)
    has_rsample = True

    def __init__(
        self, mass: float | Tensor, dishes: int, validate_args: bool | None = None
    ) -> None:
        """Check the parameters; see the class."""
        self.mass = positive_scalar("mass", mass)
        self.dishes = size("dishes", dishes)
        super().__init__(torch.Size(), torch.Size((self.dishes,)), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """(α / (1 + α))^k."""
        return self._log_mean().exp().to(self.mass.dtype)

    @property
    def variance(self) -> Tensor:
        """(α / (2 + α))^k − mean²."""
        # Over the squared mean it is exp(k ln(1 + 1/(α² + 2α))) − 1, in which nothing cancels.
        mass = self.mass.double()
        relative = torch.expm1(self._positions() * torch.log1p(1 / mass / (mass + 2)))
        return (relative * (2 * self._log_mean()).exp()).to(self.mass.dtype)

    def _log_mean(self) -> Tensor:
        return -self._positions() * torch.log1p(1 / self.mass.double())

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw popularities, differentiable in α: −α ln ν is exponential.

        Those below the smallest number of the type are that number, not 0.
        """
        shape = self._extended_shape(torch.Size(sample_shape))
        log_sticks = -self.mass.new_empty(shape).exponential_() / self.mass
        return log_sticks.cumsum(-1).exp().clamp_min(torch.finfo(log_sticks.dtype).tiny)

    def log_prob(self, value: Tensor) -> Tensor:
        r"""Ln of :math:`\alpha^K \pi_K^{\alpha} \prod_k \pi_k^{-1}` where π falls, else −inf."""
        log_value = value.log()
        density = self.dishes * self.mass.log() + self.mass * log_value[..., -1] - log_value.sum(-1)
        before = torch.cat([torch.ones_like(value[..., :1]), value[..., :-1]], -1)
        falls = ((value > 0) & (value <= before)).all(-1)
        return torch.where(falls, density, -torch.inf)

    def _positions(self) -> Tensor:
        return torch.arange(1, self.dishes + 1, device=self.mass.device, dtype=torch.float64)
