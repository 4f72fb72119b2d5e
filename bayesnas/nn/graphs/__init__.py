"""Graphs of operations, and the DARTS space."""
