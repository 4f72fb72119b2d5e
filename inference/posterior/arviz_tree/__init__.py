"""Draws of a posterior and of its prior, with the names of their dimensions, as a tree."""
