"""Markov chain Monte Carlo: samplers that check the variational fits, or stand alone."""

from bayesnas.inference.mcmc.belief_network import BeliefNetworkSampler
from bayesnas.inference.mcmc.belief_posterior import BeliefPosterior, sample_belief_network
from bayesnas.inference.mcmc.latent_feature_draws import LatentFeatureDraws, sample_latent_features
from bayesnas.inference.mcmc.latent_features import LatentFeatureSampler, LatentFeatureState
from bayesnas.inference.mcmc.tree import mcmc_tree

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
