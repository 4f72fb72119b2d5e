"""What a candidate is judged by: a fit, shared weights, a table."""
