"""A posterior chosen from a fit of many, by rows that were held out."""
