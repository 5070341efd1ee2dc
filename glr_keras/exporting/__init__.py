"""What a run becomes besides a SavedModel: files of other runtimes; a card for each export."""
