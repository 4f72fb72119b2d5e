"""One training step: eager, traced, batched over chains, of the upper level."""
