"""Latent features and belief networks of unbounded size."""
