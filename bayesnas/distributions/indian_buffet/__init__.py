"""Indian buffet processes and what they are built from."""
