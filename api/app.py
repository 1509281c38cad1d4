"""The FastAPI application: `uvicorn api.app:app`."""

from jobyard.http.app import create_app

app = create_app()
