"""What is known of a user's Pyro program once it has run: its sites, plates and rows."""
