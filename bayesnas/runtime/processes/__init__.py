"""Several processes that take part in one fit."""
