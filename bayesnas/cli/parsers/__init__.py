"""What each command is told: one file a command, without torch."""
