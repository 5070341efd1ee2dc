"""Records on disk as batches of photos."""
