"""Chains and their training loop."""
