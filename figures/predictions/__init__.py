"""Figures of predictions: comparisons, pipelines, leaderboards."""
