"""Options that commands share; without torch, so that wrong words are answered at once."""
