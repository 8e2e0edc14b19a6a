"""Figures of sweeps: accuracy over depth, trajectories, classes, architecture."""
