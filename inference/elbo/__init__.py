"""The λ-weighted evidence lower bound."""
