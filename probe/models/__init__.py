"""Models by name, fetched, converted and checked."""
