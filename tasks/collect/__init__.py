"""Collects pages from other people's servers."""
