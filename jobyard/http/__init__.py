"""The HTTP API: routes, request bodies, answers and errors."""
