"""Plain requests for one job, answered before they become ASGI requests."""
