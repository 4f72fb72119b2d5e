"""What a fit by several processes does otherwise."""
