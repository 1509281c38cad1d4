"""The files that jobs read and write, and the payloads and results that are too large for a row."""
