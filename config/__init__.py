"""This application's configuration: its queues, its settings, and the modules of its tasks and schedules."""
