"""Families of functions to minimise, drawn many at once."""
