"""The main job: rank the taps, draw, report."""
