"""Variational parameters as functions of the KL weight."""
