"""The schedules of this application."""
