"""Fetching pages from servers that nobody here controls, and reading what they send."""
