"""The shop's work in the background."""
