"""The command line."""

from bayesnas.cli.main import main

__all__ = [
    "main",
]
