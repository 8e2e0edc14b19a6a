"""Training examples out of recordings."""
