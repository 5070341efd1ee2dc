"""Photo files -> the views that a model sees, in a TensorFlow graph, so that exports hold it."""
