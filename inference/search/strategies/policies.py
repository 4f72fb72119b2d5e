"""Distributions over strings of choices that gradients move."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from bayesnas.inference.search.strategies.strings import ABSENT
from bayesnas.runtime.random_state import RandomStream

Present = Callable[[Tensor, int], Tensor]
"""Which strings, known as far as a place, have the variable there: ``[m, L]``, place to ``[m]``."""


class Policy(nn.Module):
    """A distribution over strings of choices, one variable given the earlier ones.

    Args:
        sizes: values of each variable.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        """Keep the sizes; see the class."""
        super().__init__()
        self.sizes = tuple(int(size) for size in sizes)
        inside = torch.arange(max(self.sizes)) < torch.tensor(self.sizes)[:, None]
        self.register_buffer("_inside", inside)

    @abstractmethod
    def logits(self, strings: Tensor) -> Tensor:
        """Logits of every variable given those before it: ``[m, L]`` to ``[m, L, K]``."""

    def log_probabilities(self, strings: Tensor) -> Tensor:
        """Log π of every value, −∞ beyond the values of a variable: ``[m, L]`` to ``[m, L, K]``."""
        inside = self.get_buffer("_inside")
        return self.logits(strings).masked_fill(~inside, -math.inf).log_softmax(-1)

    def forward(self, strings: Tensor) -> tuple[Tensor, Tensor]:
        """Log π of strings and the entropies met on the way, each ``[m]``.

        The mean over strings of the second is the entropy of the distribution. Variables that are
        not there (``ABSENT``) count nothing.

        Args:
            strings: positions ``[m, L]``.
        """
        logs = self.log_probabilities(strings)
        there = strings != ABSENT
        taken = logs.gather(-1, strings.clamp(min=0)[..., None])[..., 0]
        finite = logs.masked_fill(logs == -math.inf, 0.0)
        entropies = -(finite.exp() * finite * self.get_buffer("_inside")).sum(-1)
        return (taken * there).sum(-1), (entropies * there).sum(-1)

    @torch.no_grad()
    def sample(self, uniforms: np.ndarray, present: Present | None = None) -> Tensor:
        """Strings ``[m, L]`` out of numbers in [0, 1) of that shape, by inversion.

        Args:
            uniforms: ``[m, L]``, independent.
            present: which strings have a variable; None for all.
        """
        levels = torch.as_tensor(uniforms)
        strings = torch.full(levels.shape, ABSENT, dtype=torch.long)
        for place, size in enumerate(self.sizes):
            probabilities = self.log_probabilities(strings)[:, place].exp().double()
            bounds = probabilities.cumsum(-1)[:, :size]
            drawn = (bounds <= levels[:, place, None] * bounds[:, -1:]).sum(-1)
            drawn = drawn.clamp(max=size - 1)  # a level so near to 1 that it rounds to the end
            there = torch.ones_like(drawn, dtype=torch.bool)
            if present is not None:
                there = present(strings, place)
            strings[:, place] = torch.where(there, drawn, ABSENT)
        return strings


class IndependentPolicy(Policy):
    """Every variable categorical with logits of its own, all zero at first.

    >>> IndependentPolicy([2, 4])(torch.tensor([[0, 3]]))[0].exp()
    tensor([0.1250], grad_fn=<ExpBackward0>)
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        """Uniform; see the class."""
        super().__init__(sizes)
        self.free = nn.Parameter(torch.zeros(len(self.sizes), max(self.sizes)))

    def logits(self, strings: Tensor) -> Tensor:
        """The logits, alike for all strings: ``[m, L, K]``."""
        return self.free.expand(len(strings), *self.free.shape)

    @property
    def probabilities(self) -> Tensor:
        """π of every value, 0 beyond those of a variable: ``[L, K]``."""
        strings = torch.zeros(1, len(self.sizes), dtype=torch.long)
        return self.log_probabilities(strings)[0].exp()


class Controller(Policy):
    r"""A recurrent controller: an LSTM that reads its own choices.

    .. math:: h_j = \mathrm{LSTM}(e_{j-1, a_{j-1}}, h_{j-1}), \qquad
        \pi(a_j \mid a_{<j}) = \mathrm{softmax}\bigl(c \tanh(W_j h_j / (c\,T))\bigr)

    Args:
        sizes: values of each variable.
        hidden: width of the embeddings and of h.
        temperature: T > 0.
        tanh_constant: c, which keeps logits in (−c, c); None for logits W h / T.
        seed: of the weights, uniform in (−0.1, 0.1).

    References:
        Zoph, Le, *Neural architecture search with reinforcement learning*, 2017; Pham et al.,
        *Efficient neural architecture search via parameter sharing*, 2018, for c and T.

    >>> controller = Controller([2, 3], hidden=4)
    >>> every = torch.cartesian_prod(torch.arange(2), torch.arange(3))
    >>> controller(every)[0].exp().sum().allclose(torch.tensor(1.0))
    True
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        hidden: int = 32,
        temperature: float = 1.0,
        tanh_constant: float | None = None,
        seed: int = 0,
    ) -> None:
        """Draw the weights; see the class."""
        super().__init__(sizes)
        length, most = len(self.sizes), max(self.sizes)
        self._temperature, self._tanh_constant = temperature, tanh_constant
        with RandomStream(seed, torch.device("cpu")).active():
            self.embedding = nn.Embedding(1 + length * most, hidden)  # the first: nothing chosen
            self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
            self.heads = nn.Parameter(torch.empty(length, most, hidden))
            for parameter in self.parameters():
                nn.init.uniform_(parameter, -0.1, 0.1)

    def logits(self, strings: Tensor) -> Tensor:
        """Logits given the choices before: ``[m, L, K]``."""
        length, most = len(self.sizes), max(self.sizes)
        tokens = 1 + torch.arange(length) * most + strings
        tokens = torch.where(strings == ABSENT, 0, tokens)
        before = torch.cat([torch.zeros_like(tokens[:, :1]), tokens[:, :-1]], 1)
        states, _ = self.lstm(self.embedding(before))
        logits = torch.einsum("mlh,lkh->mlk", states, self.heads) / self._temperature
        if self._tanh_constant is None:
            return logits
        return self._tanh_constant * torch.tanh(logits / self._tanh_constant)
