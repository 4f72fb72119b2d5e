"""The report of a fit as one page of HTML that needs no network."""
