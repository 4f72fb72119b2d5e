"""Parsers of the commands on a stored run, one file each."""
