"""The loss of a level of a bilevel problem, and the parameters that stand on the upper one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.compile.trace import BoundModule
from bayesnas.inference.optim.trainable_parameters import trainable
from bayesnas.models.base import BayesianModel
from bayesnas.nn.functional_call import functional_call
from bayesnas.nn.modules.parameter_names import begins, matching


def upper_parameters(model: BayesianModel, chosen: Sequence[str] | None = None) -> tuple[str, ...]:
    """Names of the parameters on the upper level, in the order of the model.

    Args:
        model: whose.
        chosen: names or their first parts; None for the model's own ``upper_level``.

    Raises:
        ValueError: where that is none, or all of them, or a name is not that of a trained one.
        TypeError: for a model that brings an ELBO.
    """
    if model.elbo is not None:
        raise TypeError(
            "bilevel takes the bound of a fit, "
            f"got a {type(model).__name__} with an elbo= of its own"
        )
    names = list(trainable(model))
    if chosen is None:
        chosen = [b for b in model.upper_level if any(begins(n, b) for n in names)]
    above = tuple(matching(names, list(chosen), "bilevel.parameters"))
    if not above or len(above) == len(names):
        raise ValueError(
            f"bilevel.parameters must name some of the trained parameters of {type(model).__name__}"
            f", and not all, got {list(chosen)}; there are {names[:8]}"
        )
    return above


class LevelLoss:
    """−𝓛 an example, as a function of all parameters and buffers of a model.

    Args:
        model: model and guide.
        likelihood_weight: of the expected log-likelihood in 𝓛.
    """

    def __init__(self, model: BayesianModel, likelihood_weight: float = 1.0) -> None:
        """Wrap the model; see the class."""
        self._module, self._likelihood_weight = BoundModule(model), likelihood_weight

    def __call__(
        self,
        state: Mapping[str, Tensor],
        x: AnyInputs,
        y: Tensor,
        kl_weight: float | Tensor,
        examples: int,
    ) -> Tensor:
        """The loss on a batch.

        Args:
            state: parameters and buffers by name; buffers stay as they are.
            x: inputs ``[b, ...]``.
            y: targets ``[b, ...]``.
            kl_weight: λ.
            examples: N of the sample that the batch is of.
        """
        tensors = {
            f"model.{name}": value if value.requires_grad else value.clone()
            for name, value in state.items()
        }
        terms = functional_call(self._module, tensors, (x, y, examples / len(x)))
        loss: Tensor = -terms.bound(kl_weight, self._likelihood_weight) / examples
        return loss
