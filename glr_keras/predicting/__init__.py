"""What `predict` does: videos and crops before a model, rows, maps and sidecars behind it."""
