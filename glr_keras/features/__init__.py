"""Features of the frozen backbone, computed once and stored."""
