"""AddDel: elements come while the error falls, and go while it does not rise."""
