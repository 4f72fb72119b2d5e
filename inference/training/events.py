"""What a hook is told after a step."""

from __future__ import annotations

from dataclasses import dataclass

from bayesnas.models.base import BayesianModel


@dataclass(frozen=True)
class StepEvent:
    """What an ``on_step`` hook is told after a step.

    Attributes:
        chain: index of the chain.
        step: steps taken by this chain.
        loss: −𝓛 of the step, a full-sample estimate in nats.
        expected_log_lik: its log-likelihood term.
        kl: its KL term, not weighted.
        kl_weight: λ.
        model: the model being trained; looking is free, changing it is not.

    >>> import torch, bayesnas as bn
    >>> losses = []
    >>> model = bn.models.GaussianNet(bn.nn.mlp([2, 2]))
    >>> data = (torch.ones(4, 2), torch.arange(4) % 2)
    >>> post = bn.fit(model, data, steps=3, on_step=lambda e: losses.append(e.loss), progress=False)
    >>> len(losses)
    3
    """

    chain: int
    step: int
    loss: float
    expected_log_lik: float
    kl: float
    kl_weight: float
    model: BayesianModel
