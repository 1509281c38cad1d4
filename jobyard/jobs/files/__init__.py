"""Files that jobs are given and make, and payloads and results too large for a row."""
