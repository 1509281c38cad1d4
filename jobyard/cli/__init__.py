"""The command `jobyard`."""
