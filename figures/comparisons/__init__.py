"""Figures of several models side by side."""
