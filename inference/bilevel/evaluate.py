"""The hypergradient of a fitted model, by itself."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import Tensor

from bayesnas.checks import positive
from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.bilevel.hypergradients import Hypergradient, make_hypergradient
from bayesnas.inference.bilevel.losses import LevelLoss, upper_parameters
from bayesnas.inference.config.inputs import Data, check_alike, checked_tensors
from bayesnas.inference.config.settings import check_kl_weight
from bayesnas.inference.optim.trainable_parameters import running_buffers, trainable
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream
from bayesnas.typed import typed


@typed(unchecked=("data", "validation"))
def hypergradient(
    model: BayesianModel,
    data: Data,
    validation: Data,
    kind: str | Hypergradient = "implicit",
    *,
    parameters: Sequence[str] | None = None,
    kl_weight: float = 1.0,
    upper_kl_weight: float | None = None,
    lr: float = 1e-3,
    seed: int = 0,
) -> dict[str, Tensor]:
    r"""The derivative of a validation loss by hyperparameters, through the fitted θ.

    .. math:: \frac{d}{dh} \Bigl[ -\tfrac1M \mathcal L_{val}(\theta^*(h), h) \Bigr]

    M is the number of validation examples. One draw of the guide stands for the expectation.

    Args:
        model: at the θ in question: for ``"implicit"`` a fitted one, such as ``post.model``. It
            is not changed.
        data: training data, all of it at once.
        validation: data of the upper loss.
        kind: as in :class:`Bilevel`.
        parameters: h, as in :class:`Bilevel`.
        kl_weight: λ of the lower loss.
        upper_kl_weight: λ of the upper loss, None for that of the lower; 0 for the likelihood.
        lr: step size of kinds that have none of their own.
        seed: of the draws.

    Returns:
        a tensor for each parameter in h, by name and of its shape.

    Raises:
        ValueError, TypeError: naming the argument.

    References:
        Bakhteev, Strijov, *Comprehensive analysis of gradient-based hyperparameter optimization
        algorithms*, 2020.

    >>> import torch, bayesnas as bn
    >>> x = torch.linspace(-1, 1, 20)[:, None]
    >>> model = bn.models.ArdRegression(1, noise_scale=0.1)
    >>> post = bn.fit(model, (x, 2 * x[:, 0]), steps=300, lr=0.05)
    >>> gradients = bn.inference.hypergradient(post.model, (x, 2 * x[:, 0]), (x, 2 * x[:, 0]))
    >>> list(gradients)
    ['log_prior_scale']
    """
    method = make_hypergradient(kind)
    for name, value in (("kl_weight", kl_weight), ("upper_kl_weight", upper_kl_weight)):
        if value is not None:
            check_kl_weight(value, name)
    lr = positive("lr", lr)
    train, held_out = (
        checked_tensors(model, data, "data"),
        checked_tensors(model, validation, "validation"),
    )
    check_alike(train, held_out)
    above = upper_parameters(model, parameters)
    model = copy.deepcopy(model)
    where = next(model.parameters()).device
    train, held_out = train.to(where), held_out.to(where)
    named = {name: value.detach() for name, value in trainable(model).items()}
    below = [name for name in named if name not in above]
    loss = LevelLoss(model)
    others = running_buffers(model)

    def level(
        theta: Sequence[Tensor], h: Sequence[Tensor], x: AnyInputs, y: Tensor, weight: float
    ) -> Tensor:
        state = dict(zip([*below, *above], [*theta, *h], strict=True))
        return loss(others | state, x, y, weight, len(x))

    weight = kl_weight if upper_kl_weight is None else upper_kl_weight
    with pyro_session(RandomStream(seed, where)):
        gradients = method(
            lambda theta, h: level(theta, h, held_out.x, held_out.y, weight),
            lambda theta, h: level(theta, h, train.x, train.y, kl_weight),
            [named[name] for name in below],
            [named[name] for name in above],
            lr,
        )
    return {name: value.detach() for name, value in zip(above, gradients, strict=True)}
