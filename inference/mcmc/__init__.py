"""Markov chain Monte Carlo: samplers that check the variational fits, or stand alone."""

from bayesnas.inference.mcmc.arviz_tree import mcmc_tree
from bayesnas.inference.mcmc.belief_network_chains import BeliefPosterior, sample_belief_network
from bayesnas.inference.mcmc.belief_network_sampler import BeliefNetworkSampler
from bayesnas.inference.mcmc.latent_feature_chains import LatentFeatureDraws, sample_latent_features
from bayesnas.inference.mcmc.latent_feature_sampler import LatentFeatureSampler, LatentFeatureState

__all__ = [
    "BeliefNetworkSampler",
    "BeliefPosterior",
    "LatentFeatureDraws",
    "LatentFeatureSampler",
    "LatentFeatureState",
    "mcmc_tree",
    "sample_belief_network",
    "sample_latent_features",
]
