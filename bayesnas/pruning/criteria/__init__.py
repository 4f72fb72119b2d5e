"""Which weights matter least: criteria by name, and keep masks from their scores."""
