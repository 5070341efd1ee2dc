"""What a directory of records holds, and how it is written."""
