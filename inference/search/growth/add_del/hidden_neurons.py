"""Neurons of a hidden layer as elements of AddDel."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.checks import draw_count, non_negative, positive, seed_number, step_count
from bayesnas.data import Split
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.search.growth.add_del.elements import Change
from bayesnas.inference.search.growth.rows import check_alike, flat_rows
from bayesnas.likelihoods import Likelihood, make_likelihood
from bayesnas.pruning.criteria.curvature import SampleLoss, curvature_diagonal
from bayesnas.runtime.random_state import RandomStream
from bayesnas.typed import typed


class HiddenNeurons:
    r"""Tanh neurons between inputs and outputs: :math:`f(x) = b + V \tanh(W x + c)`.

    S is the mean negative log-likelihood of validation data, in nats: of labels, or of numbers
    under unit variance. Adding tries several new neurons at random places, trains each network
    from where the last one was, and takes the best on validation data. The saliency of a neuron is
    the sum of :math:`\tfrac12 h w^2` over its weights, in and out, with h on the diagonal of the
    Gauss–Newton matrix; what is left of the network is trained again.

    Args:
        data: rows that are fitted; labels, or targets ``[n]`` or ``[n, k]``.
        validation: rows of the error.
        candidates: new neurons that are tried at each addition.
        steps: of Adam, on all rows, after every change.
        lr: learning rate at the start of these, cosine down to 0.
        l2: of the penalty ½ a Σ w² on weights, biases left out, an example.
        seed: of the new neurons.

    Raises:
        ValueError: naming an argument out of range or that is no such data.
        TypeError: naming data that are no part of a data set and no pair.

    >>> x = torch.linspace(-2, 2, 40)[:, None]
    >>> elements = HiddenNeurons((x, x.sin()), (x, x.sin()), candidates=2, steps=20)
    >>> elements.size(elements.add(elements.start()).model)
    1
    """

    @typed(unchecked=("data", "validation"))
    def __init__(
        self,
        data: Data,
        validation: Data,
        *,
        candidates: int = 4,
        steps: int = 200,
        lr: float = 0.02,
        l2: float = 1e-4,
        seed: int = 0,
    ) -> None:
        """Check the data; see the class."""
        self._train = _rows("data", data)
        self._held_out = _rows("validation", validation)
        check_alike(self._train, self._held_out, "validation")
        if self._train.info.task != self._held_out.info.task:
            raise ValueError(f"validation: y must be for {self._train.info.task}")
        self._candidates = draw_count("candidates", candidates)
        self._steps = step_count("steps", steps)
        self._lr, self._l2 = positive("lr", lr), non_negative("l2", l2)
        self._seed = seed_number("seed", seed)
        self._likelihood = _likelihood(self._train)
        self._outputs = self._train.info.classes or self._train.y[0].numel()

    def start(self) -> nn.Sequential:
        """No neuron: constant outputs."""
        return self._trained(_network(self._train.x.shape[1], 0, self._outputs))

    def add(self, model: nn.Sequential) -> Change | None:
        """The best of several new neurons; the network is trained with it."""
        width = self.size(model)
        candidates = [self._widened(model, place) for place in range(self._candidates)]
        return Change(width, min(candidates, key=self.error))

    def delete(self, model: nn.Sequential) -> Change | None:
        """The neuron of the least saliency goes; the network is trained without it."""
        width = self.size(model)
        if not width:
            return None
        place = int(self._saliency(model).argmin())
        rest = [each for each in range(width) if each != place]
        return Change(place, self._trained(_narrowed(model, rest)))

    @torch.no_grad()
    def error(self, model: nn.Sequential) -> float:
        """Mean negative log-likelihood of validation data, nats."""
        return float(self._loss(model, self._held_out))

    def size(self, model: nn.Sequential) -> int:
        """Number of neurons."""
        return _layers(model)[0].weight.shape[0]

    def module(self, model: nn.Sequential) -> nn.Module:
        """The network; without neurons one with a neuron that nothing reads."""
        if self.size(model):
            return copy.deepcopy(model)
        net = _network(self._train.x.shape[1], 1, self._outputs)
        last = _layers(net)[1]
        with torch.no_grad():
            last.weight.zero_()
            last.bias.copy_(_layers(model)[1].bias)
        return net

    def config(self) -> dict[str, Any]:
        """Settings, and the fingerprints of the data."""
        return {
            "elements": "hidden neurons",
            "candidates": self._candidates,
            "steps": self._steps,
            "lr": self._lr,
            "l2": self._l2,
            "seed": self._seed,
            "data": self._train.fingerprint,
            "validation": self._held_out.fingerprint,
        }

    def _loss(self, model: nn.Module, rows: Split) -> Tensor:
        output = model(rows.x)
        observed = self._likelihood.observed(rows.y, output)
        log_lik: Tensor = self._likelihood(output).log_prob(observed)
        return -log_lik.mean()

    def _widened(self, model: nn.Sequential, place: int) -> nn.Sequential:
        """One more neuron, drawn anew for each width and candidate."""
        width = self.size(model)
        seed = self._seed + 1_000_003 * width + place
        new = _network(self._train.x.shape[1], width + 1, self._outputs, seed)
        old, made = _layers(model), _layers(new)
        with torch.no_grad():
            made[0].weight[:width] = old[0].weight
            made[0].bias[:width] = old[0].bias
            made[1].weight[:, :width] = old[1].weight
            made[1].bias.copy_(old[1].bias)
        return self._trained(new)

    def _trained(self, model: nn.Sequential) -> nn.Sequential:
        optimizer = torch.optim.Adam(model.parameters(), self._lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self._steps)
        weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        for _ in range(self._steps):
            optimizer.zero_grad()
            penalty = torch.stack([weight.square().sum() for weight in weights]).sum()
            (self._loss(model, self._train) + 0.5 * self._l2 * penalty).backward()
            optimizer.step()
            schedule.step()
        return model

    def _saliency(self, model: nn.Sequential) -> Tensor:
        penalty = {name: torch.tensor(self._l2) for name in _WEIGHTS}
        loss = SampleLoss(model, self._likelihood, self._train.x, self._train.y, penalty)
        diagonal = curvature_diagonal(loss, _WEIGHTS)
        damage = {
            name: 0.5 * diagonal[name] * model.get_parameter(name).detach().double().square()
            for name in _WEIGHTS
        }
        return damage["0.weight"].sum(1) + damage["2.weight"].sum(0)


_WEIGHTS: Sequence[str] = ("0.weight", "2.weight")


def _network(inputs: int, width: int, outputs: int, seed: int = 0) -> nn.Sequential:
    """A network at the random weights of a seed; the global random state is left as it was."""
    least = max(width, 1)
    with RandomStream(seed, torch.device("cpu")).active():
        first, last = nn.Linear(inputs, least), nn.Linear(least, outputs)
    if not width:  # of which torch warns that there is nothing to initialise
        first.weight, first.bias = nn.Parameter(first.weight[:0]), nn.Parameter(first.bias[:0])
        last.weight = nn.Parameter(last.weight[:, :0])
    return nn.Sequential(first, nn.Tanh(), last)


def _layers(model: nn.Sequential) -> tuple[nn.Linear, nn.Linear]:
    first, _, last = model
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    return first, last


def _narrowed(model: nn.Sequential, rest: Sequence[int]) -> nn.Sequential:
    """Some neurons, in their order."""
    old = _layers(model)
    narrower = _network(old[0].in_features, len(rest), old[1].out_features)
    made = _layers(narrower)
    with torch.no_grad():
        made[0].weight.copy_(old[0].weight[rest])
        made[0].bias.copy_(old[0].bias[rest])
        made[1].weight.copy_(old[1].weight[:, rest])
        made[1].bias.copy_(old[1].bias)
    return narrower


def _rows(name: str, data: Data) -> Split:
    rows = flat_rows(name, data, None)
    if rows.info.task == "classification":
        return flat_rows(name, rows, "classification")
    single = rows.y.ndim > 1 and rows.y[0].numel() == 1
    return Split(rows.x, rows.y.flatten() if single else rows.y, rows.info)


def _likelihood(rows: Split) -> Likelihood:
    if rows.info.task == "classification":
        return make_likelihood("categorical")
    return make_likelihood("gaussian", noise_scale=1.0)
