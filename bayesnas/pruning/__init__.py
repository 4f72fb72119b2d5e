"""What to remove from a network, and its physical removal."""
