"""The runs that the paper stands on: found, read, and given their roles."""
