"""Networks and layers: construction, names, masks, files."""
