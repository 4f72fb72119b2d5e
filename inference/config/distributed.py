"""How a fit is shared out among several processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bayesnas.checks import positive, shown
from bayesnas.typed import typed

Noise = Literal["independent", "shared"]
Spread = Literal["batch", "chains"]
_NOISE: tuple[Noise, ...] = ("independent", "shared")
_SPREAD: tuple[Spread, ...] = ("batch", "chains")


@typed()
@dataclass(frozen=True)
class Distributed:
    r"""How a fit is shared out among the processes that ``torchrun`` started.

    Process r of K takes :math:`b_r` of the B rows of every batch, and the gradient that moves the
    parameters of all is

    .. math:: \sum_r \frac{b_r}{B} \nabla \left( \frac{N}{b_r} \sum_{i \in r} \log p(y_i | x_i, w)
        - \lambda\, KL(q \| p) \right),

    whose weights add up to one: N/B is exact for uneven shares too, and the KL counts once.

    Args:
        noise: ``"independent"``: every process draws weights of its own, so that the gradient has
            less variance, and over a range of λ each is at a λ of its own, 1/K of the range of
            log λ apart. ``"shared"``: all take the draws that one process makes for the whole
            batch, which gives its numbers to rounding.
        spread: ``"batch"``, or ``"chains"``: every process trains restarts, and fits of a list of
            λ, of its own, on whole batches, with the numbers that one process gives.
        timeout: seconds to wait for another process that is there and does not answer; one that
            has ended is noticed at once.

    Raises:
        ValueError: for another word, or a timeout that is not positive.

    References:
        Li et al., *PyTorch Distributed: experiences on accelerating data parallel training*, VLDB
        2020.

    >>> Distributed(noise="shared")
    Distributed(noise='shared', spread='batch', timeout=1800.0)
    """

    noise: Noise = "independent"
    spread: Spread = "batch"
    timeout: float = 1800.0

    def __post_init__(self) -> None:
        """Check words and number."""
        for name, words in (("noise", _NOISE), ("spread", _SPREAD)):
            if getattr(self, name) not in words:
                raise ValueError(
                    f"{name} must be {words[0]!r} or {words[1]!r}, got {getattr(self, name)!r}"
                )
        positive("timeout", self.timeout)


def checked_distributed(given: object) -> Distributed | None:
    """Read ``distributed=`` of a fit; None for a fit of one process, whatever was launched.

    Raises:
        TypeError: for anything but ``"auto"``, False and a :class:`Distributed`.
    """
    if isinstance(given, str) and given == "auto":
        return Distributed()
    if given is False:
        return None
    if isinstance(given, Distributed):
        return given
    raise TypeError(
        f"distributed must be 'auto', False or a bayesnas.Distributed, got {shown(given)}"
    )
