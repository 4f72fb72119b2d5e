"""Optimisers that are learned: their rules, the tasks they are trained on, and their training."""
