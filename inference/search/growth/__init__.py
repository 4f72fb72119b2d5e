"""Searches that grow one structure step by step."""
