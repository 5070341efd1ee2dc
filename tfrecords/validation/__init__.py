"""What `python -m tfrecords.check` looks for."""
