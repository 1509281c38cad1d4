"""Declares tasks and submits jobs."""
