"""One chain of a fit, several that take their steps together, and when a chain stops."""
