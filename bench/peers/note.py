"""The body that each HTTP server in Python reads; pydantic is where FastAPI is."""

from pydantic import BaseModel


class Note(BaseModel):
    n: int
    to: str
    subject: str
    text: str
