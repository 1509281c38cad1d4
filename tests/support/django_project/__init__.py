"""A small Django project with tasks, for workers."""
