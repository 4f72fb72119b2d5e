"""Structures that grow: weight-agnostic networks, AddDel, AdaNet."""
