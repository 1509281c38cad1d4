"""Converts pictures."""
