"""Accuracy against complexity: frontiers over the KL weight, curves over what is pruned."""
