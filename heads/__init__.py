"""Small heads on cached features."""
