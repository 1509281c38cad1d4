"""This application as data: its queues, its settings, and where its tasks and schedules are."""
