"""Where the jobs of a task are handed in."""

from urllib.parse import quote


def task_path(name: str) -> str:
    """Return the path for the jobs of a task; what a path cannot hold of its name is percent-encoded."""
    return f"/v1/tasks/{quote(name, safe='')}/jobs"
