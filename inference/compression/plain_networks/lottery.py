"""Lottery tickets: magnitude pruning in rounds, from the initial weights again each time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from tqdm import tqdm

from bayesnas.checks import (
    choice,
    flag,
    fraction_in,
    non_negative,
    positive,
    seed_number,
    size,
    whole_number,
)
from bayesnas.inference.compression.plain_networks.prune import plain_subject
from bayesnas.inference.compression.plain_networks.tickets import (
    LotteryTickets,
    Ticket,
    trained_ticket,
)
from bayesnas.inference.compression.plain_networks.training import (
    MOST_EPOCHS,
    PlainTask,
    Training,
    train,
)
from bayesnas.inference.config.inputs import Data
from bayesnas.likelihoods import AnyLikelihood
from bayesnas.pruning.criteria.keep_masks import keep_masks
from bayesnas.pruning.criteria.registry import Criterion
from bayesnas.pruning.criteria.removal import RemovalPlan, is_bias
from bayesnas.runtime.device import resolve_device
from bayesnas.runtime.random_state import RandomStream
from bayesnas.typed import typed

Ranking = Literal[
    "magnitude", "magnitude-increase", "movement", "same-sign", "obd", "fisher", "random"
]
MOST_ROUNDS = 1000

# Of the weight at the rewinding point and after training; what is small goes first.
_MOVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "magnitude-increase": lambda start, end: end.abs() - start.abs(),
    "movement": lambda start, end: (end - start).abs(),
    "same-sign": lambda start, end: (start.sign() * end).clamp_min(0),
}


@typed(unchecked=("data", "likelihood"))
def lottery_tickets(
    module: nn.Module,
    data: Data,
    *,
    rounds: int = 15,
    rate: float = 0.2,
    output_rate: float | None = None,
    by: Ranking = "magnitude",
    epochs: int = 5,
    rewind_epochs: int = 0,
    lr: float = 1.2e-3,
    batch_size: int = 60,
    schedule: Literal["cosine", "constant"] = "constant",
    l2: float = 0.0,
    likelihood: AnyLikelihood = "categorical",
    noise_scale: float | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: bool = True,
) -> LotteryTickets:
    r"""Look for sparse networks that train as well as the dense one: iterative magnitude pruning.

    Round 0 trains the network from its weights w₀ as they came. Every further round removes, of
    each layer, the part ``rate`` of the weights that are left, those of smallest magnitude after
    training, sets the others back to w₀ and trains them anew:

    .. math:: m_r = m_{r-1} \odot [\,|w_{r-1}| \text{ among the largest } (1 - \text{rate})\,],
              \quad w_r = \operatorname{train}(m_r \odot w_0) .

    Such a mask with w₀ is a winning ticket where it ends at or above the dense network, and the
    same mask with other initial weights, :meth:`Ticket.control`, does not. The defaults are those
    of the source for LeNet-300-100 on MNIST, but for the length of a round: 5 epochs, where the
    source takes 50.

    Args:
        module: an untrained network, whose weights are w₀; it is copied and never changed.
        data: training data: a part of a data set, or a pair ``(x, y)``.
        rounds: of removal.
        rate: part of what is left of a layer that goes in a round, in (0, 1).
        output_rate: that of the last layer; None for half of ``rate``.
        by: what goes first: where small ``"magnitude"`` ``|w|``, ``"magnitude-increase"``
            ``|w| − |w₀|``, ``"movement"`` ``|w − w₀|``, ``"same-sign"`` max(0, sign(w₀) w)
            (Zhou et al. 2019); or ``"obd"``, ``"fisher"``, ``"random"`` as in
            :func:`bayesnas.prune`.
        epochs: passes over the sample in each round.
        rewind_epochs: passes before w₀ is taken, once (Frankle et al. 2020): larger networks have
            tickets only there.
        lr: learning rate of Adam at the start of each round.
        batch_size: examples in a batch.
        schedule: of the learning rate in a round.
        l2: of the training.
        likelihood: of the targets given the outputs.
        noise_scale: for ``"gaussian"``, as for ``GaussianNet``.
        seed: of the orders of the data.
        device: where to compute.
        progress: show a bar over the rounds, where stderr is a terminal.

    Returns:
        a ticket a round, the dense network first.

    Raises:
        ValueError: for an argument out of range; the message names it.
        TypeError: for a module without weights.

    References:
        Frankle, Carbin, *The lottery ticket hypothesis: finding sparse, trainable neural
        networks*, ICLR 2019; Zhou, Lan, Liu, Yosinski, *Deconstructing lottery tickets: zeros,
        signs, and the supermask*, NeurIPS 2019; Frankle, Dziugaite, Roy, Carbin, *Linear mode
        connectivity and the lottery ticket hypothesis*, ICML 2020.

    >>> import bayesnas as bn
    >>> digits = bn.data.load("digits").train
    >>> tickets = bn.lottery_tickets(bn.nn.mlp([64, 20, 10]), digits, rounds=2, epochs=1)
    >>> tickets
    LotteryTickets(3, 100 to 66.3 % of the weights)
    >>> control = tickets[2].control(digits, "reinitialised")
    >>> control.weights == tickets[2].weights
    True
    """
    choice("by", by, get_args(Ranking))
    choice("schedule", schedule, get_args(Literal["cosine", "constant"]))
    rounds = whole_number("rounds", rounds, 1, MOST_ROUNDS)
    rate = fraction_in("rate", rate, "(0, 1)")
    output_rate = rate / 2 if output_rate is None else output_rate
    rates = rate, fraction_in("output_rate", output_rate, "[0, 1)")
    how = Training(
        whole_number("epochs", epochs, 1, MOST_EPOCHS),
        positive("lr", lr),
        size("batch_size", batch_size),
        l2=non_negative("l2", l2),
        schedule=schedule,
    )
    before = replace(how, epochs=whole_number("rewind_epochs", rewind_epochs, 0, MOST_EPOCHS))
    seed, where = seed_number("seed", seed), resolve_device(device)
    task = PlainTask.of(module, data, likelihood, noise_scale)
    masks: Mapping[str, Tensor] = task.masks
    bar = None if flag("progress", progress) else True
    with RandomStream(seed, where).active():
        if before.epochs:
            task = _rewinding_point(task, before, where)
        tickets: list[Ticket] = []
        for index in tqdm(range(rounds + 1), desc="lottery tickets", disable=bar):
            if index:
                masks = _fewer(task, tickets[-1], by, rates, seed)
            tickets.append(trained_ticket(task, replace(how, masks=masks), where))
    return LotteryTickets(tuple(tickets))


def _rewinding_point(task: PlainTask, how: Training, device: torch.device) -> PlainTask:
    net, likelihood = copy.deepcopy(task.net).to(device), copy.deepcopy(task.likelihood).to(device)
    train(net.train(), likelihood, task.sample.to(device), how)
    return replace(task, net=net.cpu(), likelihood=likelihood.cpu())


def _fewer(
    task: PlainTask, ticket: Ticket, by: Ranking, rates: tuple[float, float], seed: int
) -> Mapping[str, Tensor]:
    """The masks of a ticket without a part of what each layer has left."""
    masks = dict(ticket.masks)
    sites = [site for site in masks if not is_bias(site)]
    sample = task.sample if by in ("obd", "fisher") else task.sample.first(2)
    whole = plain_subject(ticket.module, ticket.likelihood, sample, masks, ticket.how.l2, seed)
    for site in sites:
        rate = rates[site == sites[-1]]
        share = 1 - (1 - rate) * float(masks[site].double().mean())
        if by in _MOVES:
            start = ticket.start.get_parameter(site).detach()
            scores = {site: -_MOVES[by](start, whole.locs[site])}
            masks[site] = keep_masks(scores, share, already={site: masks[site]})[site]
            continue
        layer = replace(whole, locs={site: whole.locs[site]}, keep={site: masks[site]})
        masks[site] = RemovalPlan(layer, cast(Criterion, by)).at(share).masks[site]
    return masks
