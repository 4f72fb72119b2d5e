"""Networks described as JSON, and built again from it, without pickle."""
