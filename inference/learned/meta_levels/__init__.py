"""A network that reads and changes its own weights."""
