"""Gradients become tracks here: meaning of the values, strands, resumable segments."""
