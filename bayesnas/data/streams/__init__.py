"""Data sets whose rows are read when they are needed: from files, data sets of torch, iterables."""
