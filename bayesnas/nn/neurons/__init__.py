"""Networks as graphs of single neurons, each with an activation of its own."""
