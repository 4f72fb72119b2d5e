"""What a user's network is taken as: which layers get a posterior, what stays a point."""
