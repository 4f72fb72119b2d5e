"""What a chain is measured on after every epoch."""

from __future__ import annotations

from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.inference.config.amortization import NONE, Values
from bayesnas.inference.config.settings import FitSettings
from bayesnas.inference.evaluation.metrics import mean_nll
from bayesnas.inference.training.chains.trainer import ChainTrainer

_MEASURED_AT = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the range of log λ


def validation_nll(training: ChainTrainer, validation: AnySplit, seed: int) -> float:
    """Mean negative log-likelihood of a chain, over a range of λ the mean of that at five.

    Args:
        training: the chain; an amortised one has its parameters at another λ after it.
        validation: data that is not trained on.
        seed: of the draws.
    """
    losses = []
    for kl_weight, metaparameters in _measured_at(training.settings):
        training.set_kl_weight(kl_weight, metaparameters)
        losses.append(mean_nll(training.model, validation, seed=seed, example=training.shared_rows))
    return sum(losses) / len(losses)


def _measured_at(settings: FitSettings) -> list[tuple[float, Values]]:
    if settings.amortization is None:
        return [(settings.kl_weight_at(0).target, NONE)]
    amortization = settings.amortization
    count, others = len(_MEASURED_AT), range(2, len(amortization.axes) + 1)
    # Over more metaparameters a Latin square: each takes its five values in an order of its own.
    places = (
        (t, *(_MEASURED_AT[(index * other) % count] for other in others))
        for index, t in enumerate(_MEASURED_AT)
    )
    return [amortization.values(*place) for place in places]
