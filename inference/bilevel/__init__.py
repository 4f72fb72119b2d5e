"""Bilevel problems: hypergradients and their solvers."""
