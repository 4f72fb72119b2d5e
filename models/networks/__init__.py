"""Priors on the weights of any network."""
