"""Strategies that train one supernet and search in it at the same time."""
