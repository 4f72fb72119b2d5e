"""The Indian buffet process: a distribution over binary matrices with any number of columns."""

from __future__ import annotations

import math

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from bayesnas.checks import positive_scalar, size, whole_number
from bayesnas.distributions.shape import Shape
from bayesnas.log_beta import log_beta
from bayesnas.typed import typed


@typed(unchecked=("mass", "concentration"))
class IndianBuffet(TorchDistribution):
    r"""Which of infinitely many features (dishes) each of N examples (customers) has.

    Customer j takes dish k, which :math:`m_k` customers took before, with probability
    :math:`m_k / (j + \beta - 1)`, and then Poisson(αβ / (j + β − 1)) dishes that nobody took.
    Rows are exchangeable. Dishes have no order, so what has a probability is the class [Z] of
    matrices that agree up to the order of their columns:

    .. math::
        P([Z]) = \frac{(\alpha\beta)^K}{\prod_h K_h!}
            \exp\Bigl(-\alpha \sum_{j=1}^N \frac{\beta}{j + \beta - 1}\Bigr)
            \prod_{k=1}^K B(m_k,\, N - m_k + \beta)

    with K dishes that anybody took, K_h of them with the same column h.

    Args:
        mass: α > 0, the mean number of dishes of a customer.
        concentration: β > 0; the smaller, the more dishes are shared.
        customers: N ≥ 1.

    Raises:
        ValueError: naming the argument, what came and what was expected.

    Shapes:
        a draw ``[customers, dishes]``, its number of dishes random (``event_shape`` says −1);
        several draws ``sample_shape + [customers, most dishes]``, the smaller ones filled up
        with dishes that nobody took, which is no change: there are infinitely many of those.

    References:
        Griffiths, Ghahramani, *Infinite latent feature models and the Indian buffet process*,
        2005; with two parameters Ghahramani, Griffiths, Sollich, *Bayesian nonparametric latent
        feature models*, 2007.

    >>> import torch
    >>> buffet = IndianBuffet(mass=1.0, concentration=2.0, customers=2)
    >>> buffet.log_prob(torch.zeros(2, 0)).exp()  # nobody takes anything: exp(−5/3)
    tensor(0.1889)
    """

    arg_constraints = {  # noqa: RUF012
        "mass": constraints.positive,
        "concentration": constraints.positive,
    }
    has_rsample = False

    def __init__(
        self,
        mass: float | Tensor,
        concentration: float | Tensor,
        customers: int,
        validate_args: bool | None = None,
    ) -> None:
        """Check the parameters; see the class."""
        self.mass = positive_scalar("mass", mass)
        self.concentration = positive_scalar("concentration", concentration)
        self.customers = size("customers", customers)
        super().__init__(
            torch.Size(), torch.Size((self.customers, -1)), validate_args=validate_args
        )

    @constraints.dependent_property(is_discrete=True, event_dim=2)
    def support(self) -> constraints.Constraint:
        """Binary matrices."""
        return constraints.independent(constraints.boolean, 2)

    # Sampling -----------------------------------------------------------------------------

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw matrices, zeros and ones as floats, dishes in the order they were first taken."""
        shape = torch.Size(sample_shape)
        with torch.no_grad():
            drawn = self._sample(shape.numel())
        return drawn.reshape(*shape, *drawn.shape[1:])

    @typed()
    def sample_left_ordered(self, sample_shape: Shape = ()) -> Tensor:
        """Draw matrices in left-ordered form, one of each class [Z]; see :func:`left_ordered`.

        Raises:
            TypeError: for a shape that is no sequence of whole numbers.
        """
        return left_ordered(self.sample(sample_shape))

    def _sample(self, draws: int) -> Tensor:
        rates = self.mass * self._new_dish_rates()
        new = torch.poisson(rates.expand(draws, -1))  # [draws, customers]
        known = new.cumsum(1)
        dishes = int(known[:, -1].max())
        column = torch.arange(dishes, device=rates.device)
        matrix = rates.new_zeros(draws, self.customers, dishes)
        taken = rates.new_zeros(draws, dishes)
        for j in range(self.customers):
            before = known[:, j, None] - new[:, j, None]
            is_first = (column >= before) & (column < known[:, j, None])
            # A dish that is not known yet has been taken by nobody: probability 0.
            popularity = taken / (j + self.concentration)
            row = torch.where(is_first, 1.0, torch.bernoulli(popularity))
            matrix[:, j] = row
            taken += row
        return matrix

    def _new_dish_rates(self) -> Tensor:
        """β / (j + β − 1) of every customer, ``[customers]``."""
        served = torch.arange(self.customers, device=self.mass.device, dtype=self.mass.dtype)
        return self.concentration / (served + self.concentration)

    # Probability --------------------------------------------------------------------------

    def log_prob(self, value: Tensor) -> Tensor:
        """Ln P([Z]) of the class of ``value``, ``[..., customers, dishes]``; columns in any order.

        Raises:
            ValueError: for a matrix with other rows than customers, or that is not binary.
        """
        check_binary("value", value, self.customers)
        z = value.double()
        counts = z.sum(-2)  # customers of every dish
        is_taken = counts > 0
        mass, beta = self.mass.double(), self.concentration.double()
        dish = (mass * beta).log() + log_beta(counts.clamp_min(1.0), self.customers - counts + beta)
        total = torch.where(is_taken, dish, 0.0).sum(-1)
        rate = (mass * self._new_dish_rates().double()).sum()
        log_prob: Tensor = total - log_repetitions(z, is_taken) - rate
        return log_prob.to(self.mass.dtype)

    # Moments ------------------------------------------------------------------------------

    @property
    def expected_dishes(self) -> Tensor:
        """Mean of the number K of dishes that anybody took, which is Poisson: α Σ β/(j+β−1)."""
        return self.mass * self._new_dish_rates().sum()

    @property
    def expected_row_sum(self) -> Tensor:
        """Mean number of dishes of a customer, which is Poisson: α."""
        return self.mass

    @property
    def expected_shared(self) -> Tensor:
        """Mean number of dishes that two given customers both took: α / (β + 1)."""
        return self.mass / (self.concentration + 1)

    @typed()
    def expected_dishes_taken_by(self, count: int) -> Tensor:
        """Mean number of dishes with exactly ``count`` customers, which is Poisson; ``[]``.

        αβ · C(N, m) · B(m, N − m + β).

        Raises:
            ValueError: unless 1 ≤ count ≤ customers.
        """
        if not 1 <= whole_number("count", count) <= self.customers:
            raise ValueError(f"count must be in 1…{self.customers}, got {count}")
        n, m, beta = self.customers, float(count), self.concentration.double()
        log_ways = math.log(math.comb(n, count))
        log_each = log_beta(torch.as_tensor(m, dtype=torch.float64), n - m + beta)
        dishes = self.mass * beta * (log_ways + log_each).exp()
        return dishes.to(self.mass.dtype)


@typed()
def left_ordered(matrix: Tensor) -> Tensor:
    """Sort the columns as binary numbers, the first row the highest digit, largest first.

    Two matrices are of one class [Z] exactly where their left-ordered forms agree.

    Args:
        matrix: binary, ``[..., customers, dishes]``.

    Returns:
        of the same shape; dishes that nobody took stand last.

    Raises:
        TypeError: for a matrix that is no tensor.
        ValueError: for one that is not binary.

    >>> import torch
    >>> left_ordered(torch.tensor([[0, 1, 1], [1, 0, 1]]))
    tensor([[1, 1, 0],
            [1, 0, 1]])
    """
    check_binary("matrix", matrix, matrix.shape[-2] if matrix.ndim > 1 else 0)
    for row in range(matrix.shape[-2] - 1, -1, -1):
        order = matrix[..., row, :].argsort(dim=-1, descending=True, stable=True)
        matrix = matrix.gather(-1, order.unsqueeze(-2).expand(matrix.shape))
    return matrix


def log_repetitions(matrix: Tensor, counted: Tensor) -> Tensor:
    """Ln ∏_h K_h!, K_h the number of ``counted`` columns equal to h; ``[...]``."""
    agreements = matrix.mT @ matrix + (1 - matrix).mT @ (1 - matrix)
    is_equal = agreements == matrix.shape[-2]
    # K! = ∏ of 1 + how many equal columns stand before each.
    before = (is_equal & counted.unsqueeze(-2)).double().tril(-1).sum(-1)
    return torch.where(counted, (1 + before).log(), 0.0).sum(-1)


def check_binary(name: str, value: Tensor, rows: int) -> None:
    """Raise ValueError unless ``value`` is a stack of binary matrices with ``rows`` rows."""
    if value.ndim < 2 or value.shape[-2] != rows:
        raise ValueError(
            f"{name} must have shape [..., {rows or 'customers'}, dishes], got {list(value.shape)}"
        )
    if not bool(((value == 0) | (value == 1)).all()):
        raise ValueError(f"{name} must hold zeros and ones, got other numbers")
