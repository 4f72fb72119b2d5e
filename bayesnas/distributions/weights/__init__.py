"""Distributions of whole weight tensors."""
