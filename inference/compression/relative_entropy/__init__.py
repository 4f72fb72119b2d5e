"""Networks coded by their posterior: relative-entropy coding of the weights."""
