"""The repeated blocks of a backbone, found from the structure of its graph alone."""
