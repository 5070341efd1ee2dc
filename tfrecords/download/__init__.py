"""Photos behind URLs, fetched politely and safely."""
