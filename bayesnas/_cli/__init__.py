"""The commands of the command line, one file each; ``bayesnas.cli`` is their face."""
