"""The structure of a graph of operations as a latent variable."""
