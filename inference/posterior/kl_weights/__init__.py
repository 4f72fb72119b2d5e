"""Posteriors at several KL weights, and the choice of one."""
