"""Readers of evidence files: each takes a bundle and yields plain values, never an exception."""
