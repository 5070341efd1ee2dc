"""Turns photos of landmarks into TFRecords on disk. Stays light: TensorFlow loads when records are written."""
