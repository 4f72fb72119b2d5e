"""Likelihoods whose parameters are sampled lazily, in expectation where that has a closed form."""
