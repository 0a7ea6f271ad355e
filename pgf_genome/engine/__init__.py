"""The engine: objectives, plans, stored states, and the three sweeps over tiles."""
