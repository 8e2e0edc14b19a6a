"""Recordings in, a store of every tap out."""
