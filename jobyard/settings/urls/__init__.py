"""The URLs in settings, taken apart."""
