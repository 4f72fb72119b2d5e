"""What one step of a learned optimiser does with a gradient, coordinate by coordinate."""

from __future__ import annotations

import abc
import hashlib
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from bayesnas.checks import choice, finite, fraction_in, positive, whole_number
from bayesnas.inference.optim.adam import BETAS, EPSILON
from bayesnas.typed import typed

States = tuple[Tensor, ...]


class UpdateRule(nn.Module, abc.ABC):
    r"""A rule :math:`(g, s') = m_\phi(\nabla, s)`, the same for every coordinate of θ.

    θ moves by lr · g. The parameters φ of the module are what is learned.

    Attributes:
        kind: the name under which a rule is saved.
        lr: factor on the changes while φ is trained.
    """

    kind: ClassVar[str]
    lr: ClassVar[float]

    @abc.abstractmethod
    def start(self, like: Tensor) -> States:
        """The state before the first step, each tensor ``[..., *like.shape]``.

        Args:
            like: coordinates, of any shape.
        """

    @abc.abstractmethod
    def forward(self, gradient: Tensor, state: States) -> tuple[Tensor, States]:
        """The change of every coordinate, in the shape of the gradient, and the next state."""

    def path(self, gradients: Tensor, state: States) -> tuple[Tensor, States]:
        """The changes ``[T, N]`` for gradients ``[T, N]`` known beforehand, and the last state."""
        changes = list[Tensor]()
        for gradient in gradients:
            change, state = self(gradient, state)
            changes.append(change)
        return torch.stack(changes), state

    @abc.abstractmethod
    def config(self) -> dict[str, Any]:
        """Arguments of the constructor, as JSON values."""

    def fingerprint(self) -> str:
        """Twelve digits that tell φ and the rule from others."""
        digest = hashlib.sha256(f"{self.kind} {sorted(self.config().items())}".encode())
        for name, value in self.state_dict().items():
            digest.update(name.encode() + value.detach().cpu().double().numpy().tobytes())
        return digest.hexdigest()[:12]


class LstmRule(UpdateRule):
    r"""A recurrent network over the steps, the same for every coordinate, each with its own state.

    It sees a gradient by size and sign,

    .. math:: \nabla \mapsto \begin{cases}
        \bigl(\tfrac1p \ln|\nabla|,\ \mathrm{sgn}\,\nabla\bigr) & |\nabla| \ge e^{-p} \\
        \bigl(-1,\ e^p\, \nabla\bigr) & \text{otherwise}
        \end{cases}

    and its output, a linear function of the last layer, is multiplied by ``lr`` = 0.1.

    Args:
        layers: of LSTM cells.
        units: of each layer.
        scale: p, how many powers of e below 1 a gradient may be before it counts as small.

    References:
        Andrychowicz, Denil, Gomez, Hoffman, Pfau, Schaul, Shillingford, de Freitas, *Learning to
        learn by gradient descent by gradient descent*, 2016.

    >>> rule = LstmRule(layers=2, units=20)
    >>> sum(value.numel() for value in rule.parameters())
    5301
    >>> change, state = rule(torch.ones(3), rule.start(torch.ones(3)))
    >>> change.shape, len(state), state[0].shape
    (torch.Size([3]), 4, torch.Size([20, 3]))
    """

    kind: ClassVar[str] = "lstm"
    lr: ClassVar[float] = 0.1

    @typed()
    def __init__(self, layers: int = 2, units: int = 20, scale: float = 10.0) -> None:
        """Draw φ; see the class."""
        super().__init__()
        self.layers = whole_number("layers", layers, 1, 8)
        self.units = whole_number("units", units, 1, 1024)
        self.scale = positive("scale", scale)
        sizes = [2, *[self.units] * (self.layers - 1)]
        self.cells = nn.ModuleList(nn.LSTMCell(size, self.units) for size in sizes)
        self.output = nn.Linear(self.units, 1)

    def start(self, like: Tensor) -> States:
        """Zeros: output and cell of every layer, ``[units, *like.shape]`` each."""
        zeros = like.new_zeros(self.units, *like.shape)
        return tuple(zeros for _ in range(2 * self.layers))

    def forward(self, gradient: Tensor, state: States) -> tuple[Tensor, States]:
        """The output of the network for every coordinate, and its next state."""
        shape = gradient.shape
        x, after = log_and_sign(gradient, self.scale).reshape(2, -1), list[Tensor]()
        columns = [value.reshape(self.units, -1) for value in state]
        for cell, hidden, memory in zip(self.cells, columns[::2], columns[1::2], strict=True):
            x, memory = _lstm_step(cast(nn.LSTMCell, cell), x, hidden, memory)
            after += [x, memory]
        change = torch.addmm(self.output.bias[:, None], self.output.weight, x).view(shape)
        return change, tuple(value.view(self.units, *shape) for value in after)

    def path(self, gradients: Tensor, state: States) -> tuple[Tensor, States]:
        """The same as step by step, by torch's own LSTM over the sequence: in half the time."""
        sequence = log_and_sign(gradients, self.scale).permute(1, 2, 0)
        hidden, memory = (torch.stack([v.T for v in state[part::2]]) for part in (0, 1))
        weights: list[Tensor] = [value for cell in self.cells for value in cell.parameters()]
        x, hidden, memory = torch.lstm(
            sequence, (hidden, memory), weights, True, self.layers, 0.0, False, False, False
        )
        change = self.output(x)[..., 0]
        after = [v.T for pair in zip(hidden, memory, strict=True) for v in pair]
        return change, tuple(after)

    def config(self) -> dict[str, Any]:
        """Layers, units, scale."""
        return {"layers": self.layers, "units": self.units, "scale": self.scale}


class MomentumRule(UpdateRule):
    r"""Gradient descent with momentum, its two settings learned.

    .. math:: v' = \mu v + \nabla, \qquad g = -\eta\, v', \qquad
        \eta = e^{\phi_1}, \quad \mu = \phi_2

    Args:
        rate: η at the start.
        momentum: μ at the start.
        learn_momentum: whether μ is learned too.

    >>> rule = MomentumRule(rate=0.5)
    >>> rule(torch.tensor(2.0), rule.start(torch.tensor(2.0)))[0]
    tensor(-1., grad_fn=<MulBackward0>)
    """

    kind: ClassVar[str] = "momentum"
    lr: ClassVar[float] = 1.0

    @typed()
    def __init__(
        self, rate: float = 0.01, momentum: float = 0.0, learn_momentum: bool = False
    ) -> None:
        """Set φ; see the class."""
        super().__init__()
        self.log_rate = _logarithm("rate", rate)
        momentum = fraction_in("momentum", momentum, "[0, 1)")
        self.momentum = nn.Parameter(torch.tensor(momentum), requires_grad=learn_momentum)

    def start(self, like: Tensor) -> States:
        """V = 0."""
        return (torch.zeros_like(like),)

    def forward(self, gradient: Tensor, state: States) -> tuple[Tensor, States]:
        """−η v′, and v′."""
        velocity = self.momentum * state[0] + gradient
        return -self.log_rate.exp() * velocity, (velocity,)

    def config(self) -> dict[str, Any]:
        """Both settings as they stand."""
        return {
            "rate": self.log_rate.detach().double().exp().item(),
            "momentum": self.momentum.detach().double().item(),
            "learn_momentum": self.momentum.requires_grad,
        }


class AdamRule(UpdateRule):
    r"""Adam, its learning rate learned.

    .. math:: m' = \beta_1 m + (1 - \beta_1) \nabla, \quad
        v' = \beta_2 v + (1 - \beta_2) \nabla^2, \quad
        g = -e^{\phi}\, \frac{m' / (1 - \beta_1^t)}{\sqrt{v' / (1 - \beta_2^t)} + \epsilon}

    Args:
        rate: learning rate at the start.

    References:
        Kingma, Ba, *Adam: a method for stochastic optimization*, 2015.

    >>> rule = AdamRule(rate=0.5)
    >>> rule(torch.tensor(2.0), rule.start(torch.tensor(2.0)))[0].detach()
    tensor(-0.5000)
    """

    kind: ClassVar[str] = "adam"
    lr: ClassVar[float] = 1.0

    @typed()
    def __init__(self, rate: float = 0.01) -> None:
        """Set φ; see the class."""
        super().__init__()
        self.log_rate = _logarithm("rate", rate)

    def start(self, like: Tensor) -> States:
        """Both moments and the number of steps, 0."""
        return adam_start(like)

    def forward(self, gradient: Tensor, state: States) -> tuple[Tensor, States]:
        """The change, and moments and number of steps."""
        direction, after = adam_direction(gradient, state, BETAS[0])
        return -self.log_rate.exp() * direction, after

    def config(self) -> dict[str, Any]:
        """The rate as it stands."""
        return {"rate": self.log_rate.detach().double().exp().item()}


RULES: dict[str, type[UpdateRule]] = {
    rule.kind: rule for rule in (LstmRule, MomentumRule, AdamRule)
}


def make_rule(kind: str, config: dict[str, Any]) -> UpdateRule:
    """A rule from what a file says of it.

    Raises:
        ValueError: for an unknown kind.
        TypeError: for arguments that it does not take.
    """
    return RULES[choice("rule", kind, list(RULES))](**config)


def adam_start(like: Tensor) -> States:
    """Moments of Adam and the number of its steps, all 0, each in the shape of ``like``."""
    return torch.zeros_like(like), torch.zeros_like(like), torch.zeros_like(like)


def adam_direction(
    gradient: Tensor, state: States, momentum: float | Tensor
) -> tuple[Tensor, States]:
    """Step of Adam at β₁ = ``momentum``, before sign and learning rate, and its next state."""
    first, second, step = state
    step = step + 1
    first = first.lerp(gradient, 1 - momentum)
    second = second.lerp(gradient.square(), 1 - BETAS[1])
    moved = second > 0  # under the mask the root sees no 0, whose derivative would be infinite
    root = torch.where(moved, second / (1 - BETAS[1] ** step), 1.0).sqrt() * moved
    return first / (1 - momentum**step) / (root + EPSILON), (first, second, step)


def _lstm_step(
    cell: nn.LSTMCell, x: Tensor, hidden: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """What ``cell`` gives, of coordinates in columns: every gate is contiguous, twice as fast."""
    weight = torch.cat([cell.weight_ih, cell.weight_hh], dim=1)
    bias = (cell.bias_ih + cell.bias_hh)[:, None]
    gates = torch.addmm(bias, weight, torch.cat([x, hidden]))
    entering, kept, proposed, shown = gates.chunk(4)
    memory = kept.sigmoid() * memory + entering.sigmoid() * proposed.tanh()
    return shown.sigmoid() * memory.tanh(), memory


def _logarithm(name: str, value: float) -> nn.Parameter:
    number = torch.tensor(positive(name, value), dtype=torch.float64).log()
    return nn.Parameter(number.to(torch.get_default_dtype()))


def log_and_sign(gradient: Tensor, scale: float) -> Tensor:
    """Size and sign of a gradient, ``[2, ...]``; see :class:`LstmRule`.

    >>> log_and_sign(torch.tensor([1.0, -0.5, 0.0]), scale=1.0)
    tensor([[ 0.0000, -0.6931, -1.0000],
            [ 1.0000, -1.0000,  0.0000]])
    """
    large = finite("scale", scale)
    size = gradient.abs()
    smallest = torch.as_tensor(-large, dtype=gradient.dtype, device=gradient.device).exp()
    is_large = size >= smallest
    # Under the mask the logarithm sees no 0, whose derivative would be infinite.
    logarithm = torch.where(is_large, size, smallest).log() / scale
    direction = torch.where(is_large, gradient.sign(), gradient / smallest)
    return torch.stack([logarithm, direction])
