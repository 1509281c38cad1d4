"""Runs the jobs of one message in a worker, from claim to settle."""
