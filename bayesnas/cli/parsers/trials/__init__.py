"""Commands that make trials, one file each: what each is told."""
