"""From features or photos to a trained run."""
