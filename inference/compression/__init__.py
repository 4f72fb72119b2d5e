"""From a network to a smaller one: trained, fitted, and made smaller in stages."""
