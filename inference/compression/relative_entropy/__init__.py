"""Networks as a sample of their posterior: relative-entropy coding of the weights."""
