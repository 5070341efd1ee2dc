"""Turns photos of landmarks into TFRecords. Stays light: TensorFlow loads when they are written."""
