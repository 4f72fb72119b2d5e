"""Strategies of one file each, asked and told by the engine."""
