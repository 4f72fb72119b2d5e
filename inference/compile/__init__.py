"""Trace of a step, and the passes over it."""
