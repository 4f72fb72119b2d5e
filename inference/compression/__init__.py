"""From a network to a smaller one: fitted and made smaller in stages, or coded by a posterior."""
