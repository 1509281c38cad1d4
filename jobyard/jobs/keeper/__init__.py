"""The keeper: publishes jobs that are due, and repairs what was lost."""
