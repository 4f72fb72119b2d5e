"""A recurrent network that embeds its own meta-levels."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bayesnas.checks import flag, positive, size
from bayesnas.typed import typed


class NetState(NamedTuple):
    """What a network keeps from one step to the next, of every sequence.

    Attributes:
        weights: W as it stands, ``[n, units, inputs]``.
        units: activations of all units, ``[n, units]``.
        output: of the step before, ``[n, outputs]``.
        value: the weight that the analysing units read, ``[n, 1]``.
    """

    weights: Tensor
    units: Tensor
    output: Tensor
    value: Tensor


class MetaLevelNet(nn.Module):
    r"""One recurrent network whose units learn, watch the learning, and change what is learned.

    At step t every unit is a function of the same row of inputs, by the weights of that moment:

    .. math:: u_t = \tanh(W_t z_t), \qquad
        z_t = (x_t,\ e_{t-1},\ v_{t-1},\ 1,\ u_{t-1}), \qquad o_t = \text{outputs of } W_t z_t

    Its units have four roles (Schmidhuber's names in brackets):

    - *normal*: hidden units, and outputs :math:`o_t`, which are linear;
    - *evaluating* (eval): inputs :math:`e_{t-1} = y_{t-1} - o_{t-1}`, the error just made;
    - *analysing* (anal): address units a, by which the network reads one of its weights,
      :math:`v_t = \sum_{ij} k_{ij}(a_t) W_{t,ij}`;
    - *modifying* (mod): address units m and a change Δ, by which it writes one,
      :math:`W_{t+1,ij} = W_{t,ij} + s\, \Delta_t\, k_{ij}(m_t)`.

    Every weight has a binary address :math:`b_{ij} \in \{-1, 1\}^d`, the digits of its number, and
    the kernel :math:`k(a) = \mathrm{softmax}_{ij}(\beta \langle a, b_{ij} \rangle)` makes reading
    and writing differentiable, the closer to one weight the larger β. What is trained, by gradients
    through time, is the initial :math:`W_1`; within a sequence only the network changes a weight.

    Args:
        inputs: of x.
        outputs: of o and y.
        hidden: normal units besides the outputs.
        sharpness: β.
        step: s, the largest change of a weight in a step.
        modifies: whether the modifying units act; else W stays, and the network has the memory of
            its activations alone.

    References:
        Schmidhuber, *A neural network that embeds its own meta-levels*, 1993; Hochreiter, Younger,
        Conwell, *Learning to learn using gradient descent*, 2001 (activations as the memory).

    >>> net = MetaLevelNet(inputs=1, outputs=1, hidden=4)
    >>> net(torch.zeros(2, 5, 1), torch.zeros(2, 5, 1)).shape
    torch.Size([2, 5, 1])
    """

    codes: Tensor

    @typed()
    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: int = 4,
        sharpness: float = 1.0,
        step: float = 1.0,
        modifies: bool = True,
    ) -> None:
        """Draw the initial weights; see the class."""
        super().__init__()
        self.inputs, self.outputs = size("inputs", inputs), size("outputs", outputs)
        self.hidden = size("hidden", hidden)
        self.sharpness, self.step = positive("sharpness", sharpness), positive("step", step)
        self.modifies = flag("modifies", modifies)
        self.address = _address_length(self.inputs, self.outputs, self.hidden)
        units = _units(self.outputs, self.hidden, self.address)
        fan_in = self.inputs + self.outputs + 2 + units
        self.weights = nn.Parameter(torch.randn(units, fan_in) / math.sqrt(fan_in))
        numbers = torch.arange(units * fan_in)
        digits = (numbers[:, None] >> torch.arange(self.address)) & 1
        self.register_buffer("codes", 2.0 * digits - 1.0, persistent=False)

    def start(self, sequences: int) -> NetState:
        """The state before the first step: the initial weights, and nothing seen."""
        weights = self.weights.expand(sequences, *self.weights.shape)
        zeros = self.weights.new_zeros
        units = len(self.weights)
        return NetState(
            weights, zeros(sequences, units), zeros(sequences, self.outputs), zeros(sequences, 1)
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Outputs at every step, each before its target is seen.

        Args:
            x: inputs ``[n, steps, inputs]``.
            y: targets ``[n, steps, outputs]``; that of a step reaches the network as an error in
                the step after.

        Returns:
            ``[n, steps, outputs]``.
        """
        state, outputs = self.start(len(x)), list[Tensor]()
        error = x.new_zeros(len(x), self.outputs)
        for step in range(x.shape[1]):
            state = self.advance(x[:, step], error, state)
            outputs.append(state.output)
            error = y[:, step] - state.output
        return torch.stack(outputs, dim=1)

    def advance(self, x: Tensor, error: Tensor, state: NetState) -> NetState:
        """One step.

        Args:
            x: ``[n, inputs]``.
            error: of the step before, ``[n, outputs]``.
            state: from the step before.
        """
        one = x.new_ones(len(x), 1)
        row = torch.cat([x, error, state.value, one, state.units], dim=1)
        net = (state.weights @ row.unsqueeze(-1)).squeeze(-1)
        sizes = [self.outputs, self.hidden, self.address, self.address, 1]
        output = net[:, : self.outputs]
        units = net.tanh()
        _, _, reading, writing, change = units.split(sizes, dim=1)
        value = (self._kernel(reading) * state.weights.flatten(1)).sum(1, keepdim=True)
        weights = state.weights
        if self.modifies:
            written = self.step * change * self._kernel(writing)
            weights = weights + written.view_as(weights)
        return NetState(weights, units, output, value)

    def _kernel(self, address: Tensor) -> Tensor:
        """How much of every weight is addressed, ``[n, weights]``; each row adds up to 1."""
        return (self.sharpness * address @ self.codes.T).softmax(dim=1)


def _units(outputs: int, hidden: int, address: int) -> int:
    return outputs + hidden + 2 * address + 1


def _address_length(inputs: int, outputs: int, hidden: int) -> int:
    """The fewest digits that number all weights, those of the address units among them."""
    for length in range(1, 64):
        units = _units(outputs, hidden, length)
        if units * (inputs + outputs + 2 + units) <= 2**length:
            return length
    raise AssertionError
