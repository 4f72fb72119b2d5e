"""Relaxations of discrete variables."""
