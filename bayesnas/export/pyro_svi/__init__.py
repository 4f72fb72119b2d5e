"""Any Pyro model and guide, fitted anywhere, as a tree that ArviZ reads."""

from bayesnas.export.pyro_svi.convert import from_pyro_svi

__all__ = ["from_pyro_svi"]
