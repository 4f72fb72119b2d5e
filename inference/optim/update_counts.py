"""How many updates of single parameters a fit costs."""

from __future__ import annotations

import copy

from bayesnas.checks import whole_number
from bayesnas.distributions import LogUniform
from bayesnas.inference.config.amortization import make_amortization
from bayesnas.inference.optim.trainable_parameters import parameters_of
from bayesnas.models.base import BayesianModel
from bayesnas.nn.hypernetworks.options import Amortize
from bayesnas.runtime.random_state import random_state_kept


def parameter_updates(
    model: BayesianModel,
    *,
    examples: int,
    batch_size: int,
    epochs: int,
    fits: int = 1,
    kl_weight: float | LogUniform = 1.0,
    amortize: Amortize | None = None,
) -> int:
    r"""Count the updates of single parameters that training takes.

    .. math:: \text{trainable scalars} \times \lceil N / B \rceil \times \text{epochs}
        \times \text{fits}

    Trainable are the variational parameters of the model, or, over a range of KL weights, those
    of the map that gives them, whether or not a step moves them all.

    Args:
        model: what is fitted.
        examples: N, of the training sample.
        batch_size: B, the batch size.
        epochs: passes over the sample.
        fits: equal ones, such as one for each KL weight.
        kl_weight: λ or a range, as in ``bayesnas.fit``.
        amortize: map from a range of λ to the parameters, as in ``bayesnas.fit``.

    Raises:
        ValueError: for a count that is no whole number >= 1, and where ``kl_weight`` and
            ``amortize`` do not fit together.

    References:
        Grebenkova, Bakhteev, Strijov, *Variational deep learning model optimization with
        complexity control*, 2021, table 1.

    >>> import bayesnas as bn
    >>> model = bn.models.GaussianNet(bn.nn.mlp([784, 50, 10]))
    >>> parameter_updates(model, examples=60_000, batch_size=64, epochs=25, fits=4)
    7458976000
    """
    for name, value in (("examples", examples), ("batch_size", batch_size), ("epochs", epochs)):
        whole_number(name, value, 1)
    fits = whole_number("fits", fits, 1)
    steps = epochs * -(-examples // min(batch_size, examples))
    return trainable_scalars(model, kl_weight, amortize) * steps * fits


def trainable_scalars(
    model: BayesianModel,
    kl_weight: float | LogUniform = 1.0,
    amortize: Amortize | None = None,
) -> int:
    """Count what an optimiser trains: the model's parameters, or those of a map to them.

    >>> import bayesnas as bn
    >>> model = bn.models.GaussianNet(bn.nn.mlp([784, 50, 10]))
    >>> trainable_scalars(model, bn.LogUniform(0.1, 100), "low-rank")
    177628
    """
    amortization = make_amortization(kl_weight, amortize)
    with random_state_kept():
        copied = copy.deepcopy(model)  # its parameters move into one vector
        trained = parameters_of(copied, amortization)
    return sum(leaf.numel() for leaf in trained.leaves)
