"""Schedules: what is to run when, and how a tick becomes an accepted job."""
