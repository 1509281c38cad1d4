"""The schedules of this yard."""
