"""The FastAPI application of this yard: `uvicorn api.app:app`."""

from jobyard.http.app import create_app

app = create_app()
