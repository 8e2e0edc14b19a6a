"""Training of heads on cached features: folds, loop, results."""
