"""One fitted chain."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from bayesnas.inference.config.amortization import NONE, Values
from bayesnas.inference.optim.trainable_parameters import TrainableParameters
from bayesnas.inference.runs.chain_record import ChainRecord
from bayesnas.models.base import BayesianModel

if TYPE_CHECKING:
    pass


@dataclass
class FittedChain:
    """One fitted start.

    Attributes:
        model: fitted model, in evaluation mode.
        history: ``[steps, 4]``, see :data:`~bayesnas.inference.runs.chain_record.HISTORY`.
        validation_nll: mean negative log-likelihood on validation data, an epoch each.
        trained: parameters as functions of the KL weight; None after a fit at one.
    """

    model: BayesianModel
    history: Tensor
    validation_nll: list[float]
    trained: TrainableParameters | None = None

    def at(self, kl_weight: float, metaparameters: Values = NONE) -> FittedChain:
        """The chain with its parameters at one KL weight, and at other metaparameters.

        Raises:
            ValueError: for one outside the range of the fit.
        """
        assert self.trained is not None
        model = copy.deepcopy(self.model)
        parameters = dict(model.named_parameters())
        for name, value in self.trained.at(kl_weight, metaparameters).items():
            parameters[name].data.copy_(value)
        for name, number in metaparameters.items():
            model.set_metaparameter(name, number)
        return FittedChain(model, self.history, self.validation_nll)

    def record(self) -> ChainRecord:
        """Parameters and history, on the CPU."""
        maps = {} if self.trained is None else self.trained.state()
        fitted = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        fitted |= {f"maps/{name}": value for name, value in maps.items()}
        cpu = {name: value.detach().cpu().clone() for name, value in fitted.items()}
        return ChainRecord(cpu, self.history, self.validation_nll)
