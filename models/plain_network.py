"""Plain networks in the units of the data, and what is said of them."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.data import DataInfo
from bayesnas.likelihoods.base import Likelihood
from bayesnas.models.base import BayesianModel
from bayesnas.nn import StandardisedNet


def in_data_units(net: nn.Module, data: DataInfo, model: BayesianModel) -> nn.Module:
    """A network fitted to standardised data as one that takes and gives numbers as they came.

    Args:
        net: from standardised inputs to the outputs of the model's likelihood.
        data: of the training part; where it was not standardised, ``net`` is given back.
        model: that was fitted.

    Raises:
        TypeError: the likelihood does not say how its outputs change with the units of y.
    """
    units = data.standardisation
    if units is None:
        return net
    factor = shift = None
    if units.y_mean is not None and units.y_scale is not None:
        likelihood = likelihood_of(model)
        if likelihood is None:
            raise TypeError(f"{model.describe()} has no likelihood that is known by name")
        mean, scale = (torch.tensor(v, dtype=torch.float64) for v in (units.y_mean, units.y_scale))
        factor, shift = (v.tolist() for v in likelihood.in_units(mean, scale))
    whole = StandardisedNet(net, units.x_mean, units.x_scale, factor, shift)
    return whole.train(net.training)


def metadata_of(model: BayesianModel, data: DataInfo, example: Tensor) -> dict[str, Any]:
    """What a network takes and gives, in JSON values, for whoever opens its file.

    Args:
        model: that was fitted.
        data: of the training part.
        example: inputs ``[n, ...]``.
    """
    likelihood = likelihood_of(model)
    outputs: dict[str, Any] = {"task": data.task}
    if likelihood is not None:
        state = {name: value.tolist() for name, value in likelihood.state_dict().items()}
        outputs |= {"are": likelihood.outputs, "likelihood": likelihood.name, "parameters": state}
    if data.classes is not None:
        names = data.class_names or tuple(map(str, range(data.classes)))
        outputs["classes"] = list(names)
    return {
        "version": importlib.metadata.version("bayesnas"),
        "model": model.describe(),
        "data": data.name,
        "inputs": {
            "shape": ["n", *example.shape[1:]],
            "names": None if data.feature_names is None else list(data.feature_names),
        },
        "outputs": outputs,
        "table": None if data.encoding is None else data.encoding.to_dict(),
        "standardisation": None if data.standardisation is None else data.standardisation.to_dict(),
    }


def likelihood_of(model: BayesianModel) -> Likelihood | None:
    """The likelihood of a model of a network; None of other models."""
    likelihood = getattr(model, "likelihood", None)
    return likelihood if isinstance(likelihood, Likelihood) else None
