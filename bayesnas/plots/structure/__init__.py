"""Structures as pictures: graphs, groups, latent dimensions and features, one function a panel."""
