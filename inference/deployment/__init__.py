"""What leaves the package: plain networks in the units of the data, and their files."""
