"""Answers plain requests for one job before they become ASGI requests."""
