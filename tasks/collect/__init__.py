"""Collects a page of other people's servers."""
