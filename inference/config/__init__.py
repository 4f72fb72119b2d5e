"""Settings of a fit and checks of its data."""
