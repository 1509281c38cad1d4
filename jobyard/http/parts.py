"""The long-lived objects of one API process, as a FastAPI dependency of the routes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from pydantic import SecretStr

from jobyard.broker.publisher import Publisher
from jobyard.http.commit.async_group_commit import AsyncGroupCommit
from jobyard.http.commit.waiting import JobWaiter
from jobyard.jobs.files.store import FileStore
from jobyard.jobs.ledger import Ledger
from jobyard.settings import Settings


@dataclass(frozen=True)
class Parts:
    """The objects that an API process opens once and keeps until it ends."""

    settings: Settings
    ledger: Ledger
    files: FileStore
    publisher: Publisher
    group_commit: AsyncGroupCommit
    job_waiter: JobWaiter

    @property
    def keys(self) -> Sequence[SecretStr]:
        return self.settings.api.keys


async def get_parts(request: Request) -> Parts:
    # Async although it awaits nothing: FastAPI would run a plain function on a thread for every request.
    parts: Parts = request.app.state.parts
    return parts


TheParts = Annotated[Parts, Depends(get_parts)]
