"""What a change of the sequence does to an objective."""
