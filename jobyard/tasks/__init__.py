"""Declaring tasks and handing in jobs."""
