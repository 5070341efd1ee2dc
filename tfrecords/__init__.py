"""Turns photos of landmarks into TFRecords. Needs TensorFlow Datasets, but not TensorFlow."""
