"""Posterior predictive, metrics, calibration, frontiers."""
