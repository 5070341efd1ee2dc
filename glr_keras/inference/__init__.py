"""A trained model and the photos of users."""
