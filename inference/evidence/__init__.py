"""How probable the data are under a model: exact, bounded, approximated, integrated along λ."""
