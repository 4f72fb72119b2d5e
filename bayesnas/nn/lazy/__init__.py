"""Lazily sampled weights: tensors that stay distributions until a layer consumes them."""
