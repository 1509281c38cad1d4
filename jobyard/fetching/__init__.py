"""Fetches pages from foreign servers, and reads what they send."""
