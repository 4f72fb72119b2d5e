"""Tables with categories, dates and missing cells, as numbers."""
