"""Markov chain Monte Carlo: samplers that check the variational fits, or stand alone."""
