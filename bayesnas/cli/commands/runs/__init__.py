"""The commands on a stored run, one file each."""
