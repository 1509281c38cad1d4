"""Parses the URLs in settings."""
