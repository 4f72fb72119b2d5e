"""Shrinkage priors of scales."""
