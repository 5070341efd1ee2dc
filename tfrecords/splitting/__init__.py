"""Which split each photo goes to."""
