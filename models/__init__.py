"""The zoo: one file a structure prior, and the registry that names them all."""

from __future__ import annotations

from bayesnas.models.architecture.latent_structure import LatentStructureNet
from bayesnas.models.autoencoders.ard_vae import ArdVae
from bayesnas.models.autoencoders.indian_buffet_vae import IndianBuffetVae
from bayesnas.models.base import BayesianModel
from bayesnas.models.compression.bayesian_compression import BayesianCompressionNet
from bayesnas.models.compression.threshold_sweep import knee
from bayesnas.models.networks.gaussian import GaussianNet
from bayesnas.models.networks.spike_and_slab import SpikeAndSlabNet
from bayesnas.models.networks.supermask import SupermaskNet
from bayesnas.models.nonparametric.belief_network import BeliefNetwork
from bayesnas.models.nonparametric.latent_features import LatentFeatures
from bayesnas.models.pyro_pair import PyroPair
from bayesnas.models.registry import ModelRecord, available, register, zoo_class
from bayesnas.models.regression.ard import ArdRegression
from bayesnas.models.regression.spike_and_slab import SpikeAndSlabRegression

__all__ = [
    "ArdRegression",
    "ArdVae",
    "BayesianCompressionNet",
    "BayesianModel",
    "BeliefNetwork",
    "GaussianNet",
    "IndianBuffetVae",
    "LatentFeatures",
    "LatentStructureNet",
    "ModelRecord",
    "PyroPair",
    "SpikeAndSlabNet",
    "SpikeAndSlabRegression",
    "SupermaskNet",
    "available",
    "knee",
    "register",
    "zoo_class",
]
