"""Autoencoders with a prior on their latent dimensions."""
