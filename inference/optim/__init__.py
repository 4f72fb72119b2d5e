"""Optimisers, and the flat vector of trainable parameters they work on."""
