"""Turns the due ticks of schedules into accepted jobs."""
