"""What a region does, in terms of interactions."""
