"""Measures runs and exports on photos whose landmarks are known, and compares two of them."""
