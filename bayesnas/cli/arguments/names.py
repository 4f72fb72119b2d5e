"""Names that the parser knows before torch is imported; a test holds them to the registries."""

from __future__ import annotations

RUN = "run.json"
"""The file that makes a folder a run."""

MODELS = {
    "ard-regression": "ArdRegression",
    "ard-vae": "ArdVae",
    "bayesian-compression": "BayesianCompressionNet",
    "gaussian-net": "GaussianNet",
    "indian-buffet-vae": "IndianBuffetVae",
    "latent-features": "LatentFeatures",
    "latent-structure-net": "LatentStructureNet",
    "pyro-pair": "PyroPair",
    "spike-and-slab-net": "SpikeAndSlabNet",
    "spike-and-slab-regression": "SpikeAndSlabRegression",
    "supermask-net": "SupermaskNet",
}
"""Classes of the zoo by name."""

LIKELIHOODS = (
    "categorical",
    "bernoulli",
    "ordinal",
    "gaussian",
    "heteroscedastic",
    "poisson",
    "negative-binomial",
)
GROUP_PRIORS = ("normal-jeffreys", "horseshoe", "log-uniform-truncated")
SUPERFLUOUS_DENSITY = 0.99

_NET = ("hidden", "activation", "graph", "operations", "likelihood", "noise_scale", "estimator")
_AUTOENCODER = ("latents", "hidden", "network", "likelihood", "noise_scale", "binarize")
MODEL_OPTIONS: dict[str, tuple[str, ...]] = {
    "ard-regression": ("noise_scale", "hyperparameters"),
    "ard-vae": (*_AUTOENCODER, "relevance_prior", "decoder_prior"),
    "bayesian-compression": (*_NET, "prior"),
    "gaussian-net": (*_NET, "prior_scale"),
    "indian-buffet-vae": (*_AUTOENCODER, "mass", "guide_structure"),
    "spike-and-slab-net": (*_NET, "gates", "inclusion", "slab_scale"),
    "spike-and-slab-regression": ("likelihood", "noise_scale", "inclusion", "slab_scale"),
    "supermask-net": (*_NET[:-1], "weights", "selection", "inclusion", "kept"),
}
"""Options of the models that the command line makes; others are fitted from Python."""

CHOICES: dict[str, tuple[str, ...]] = {
    "activation": (*("relu", "tanh", "gelu", "silu", "elu", "leaky_relu", "sigmoid", "softplus"),),
    "decoder_prior": ("gaussian", "unit", "none"),
    "gates": ("weights", "neurons", "filters"),
    "guide_structure": ("mean-field", "structured"),
    "hyperparameters": ("maximum", "posterior"),
    "network": ("mlp", "convolution"),
    "relevance_prior": ("half-normal", "half-cauchy", "gamma", "log-uniform", "none"),
    "selection": ("bernoulli", "edge-popup"),
    "weights": ("signed-constant", "drawn"),
}
"""Values of options of models that are names."""

PRUNING_RULES = {
    "density": "relative density of the posterior at 0, |μ|/σ",
    "evidence": "rise of the evidence without the weight",
    "reduction": "the same by all covariances, one after another, the weights that stay moved",
    "magnitude": "|w|",
    "obd": "½ h w², h on the diagonal of the Gauss–Newton matrix",
    "fisher": "½ h w², h on the diagonal of the empirical Fisher matrix",
    "obs": "w²/2[H⁻¹], the weights that stay moved",
    "relevance": "share in the collinear directions of the posterior, the weights that stay moved",
    "random": "a random order",
}
"""Titles of the criteria of pruning by name."""

REPRODUCTIONS = {
    "ard-vae": "latent dimensions that a variational autoencoder needs",
    "bayesian-compression": "Bayesian compression of LeNet-300-100",
    "bayesian-compression-lenet-5": "Bayesian compression of LeNet-5-Caffe",
    "darts-cc": "architectures of every complexity from one search",
    "generalised": "structures chosen, and left, by the coefficients of the generalised objective",
    "ibp": "moments and draws of Indian buffet processes",
    "lottery-tickets": "lottery tickets of LeNet-300-100",
    "learned-optimiser": "learned optimisers: an LSTM beside SGD and Adam",
    "mixed-width": "a network of mixed width, chosen by the generalised objective",
    "pruning": "criteria of pruning, logistic regression",
    "redundancy": "redundant weights: a flat likelihood, and noise of the inputs",
    "search": "searches by trials against random search",
    "shared-weights": "searches with shared weights against random ones",
    "small-nets": "error against bytes on disk, LeNet-300-100 and LeNet-5-Caffe",
    "varhypernet": "hypernetworks over the KL weight",
}
"""Titles by name."""

SAMPLERS = ("random", "grid", "tpe", "nsga2", "cmaes")
"""Strategies of a search that are Optuna's; `bayesnas search --help` names the others, too."""

MEASURES = {
    "error": "share of wrong classes, or the root mean square error",
    "nll": "negative log-likelihood, nats an example",
    "accuracy": "of classes",
    "ece": "expected calibration error",
    "rmse": "root mean square error",
    "bound": "E ln p - λ KL on the training part, nats",
    "evidence": "E ln p - KL there, at most ln p(y | x), whatever λ of the fit",
    "kl": "KL of the posterior and the prior, nats",
    "parameters": "number of weights that have a posterior",
    "parameters_kept": "of those that are kept",
    "multiply_adds": "of the network that is left, an example",
    "latency": "of it, milliseconds for one row on this machine, median of 30 passes after 5",
}
"""What a trial of the command line is judged by."""

MAXIMISED = ("accuracy", "bound", "evidence")
"""Of these the largest is best."""
