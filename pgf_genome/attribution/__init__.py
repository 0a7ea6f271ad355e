"""From gradients to tracks: what each number means, strands, and resumable segments."""
