"""The methods of the comparison by name."""

from __future__ import annotations

import bayesnas as bn
from peer_methods import (
    bayesian_torch_layers,
    dropout,
    ensemble,
    ivon_steps,
    last_layer_laplace,
    ordinary,
    pyro_autonormal,
    swag,
    tyxe_net,
    zoo,
)
from peer_methods.task import Method

ORDINARY = "ordinary net"  # whose last log loss is the mark
METHODS = {
    ORDINARY: Method(ordinary.fit),
    "MC dropout": Method(dropout.fit),
    "ensemble of 4": Method(ensemble.fit),
    "SWAG": Method(swag.fit),
    "last-layer Laplace": Method(last_layer_laplace.fit, "laplace"),
    "IVON": Method(ivon_steps.fit, "ivon", rate=30.0),
    "bayesian-torch": Method(bayesian_torch_layers.fit, "bayesian_torch"),
    "TyXe": Method(tyxe_net.fit, "tyxe"),
    "Pyro, AutoNormal": Method(pyro_autonormal.fit),
    "GaussianNet": Method(zoo.fit_of(bn.models.GaussianNet)),
    "GaussianNet, λ = 0.1": Method(zoo.fit_of(bn.models.GaussianNet, kl_weight=0.1)),
    "SpikeAndSlabNet": Method(zoo.fit_of(bn.models.SpikeAndSlabNet)),
    "BayesianCompressionNet": Method(zoo.fit_of(bn.models.BayesianCompressionNet)),
}
