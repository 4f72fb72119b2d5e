"""Scale priors on groups of weights: Bayesian compression."""
