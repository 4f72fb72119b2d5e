"""What a pass takes from Python or leaves in it, which a traced step would freeze."""
