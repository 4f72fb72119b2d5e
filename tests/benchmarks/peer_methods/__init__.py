"""Methods that the comparison with peers fits, one file each."""
