"""The parts that one API process is made of, as the routes get at them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from pydantic import SecretStr

from jobyard.broker.publisher import Publisher
from jobyard.http.commit.async_group_commit import AsyncGroupCommit
from jobyard.http.commit.waiting import Waiting
from jobyard.jobs.files.store import FileStore
from jobyard.jobs.ledger import Ledger
from jobyard.settings import Settings


@dataclass(frozen=True)
class Parts:
    """What an API process has open for as long as it runs."""

    settings: Settings
    ledger: Ledger
    files: FileStore
    publisher: Publisher
    group_commit: AsyncGroupCommit
    waiting: Waiting

    @property
    def keys(self) -> Sequence[SecretStr]:
        return self.settings.api.keys


async def get_parts(request: Request) -> Parts:
    # Async although it waits for nothing: a plain function would cost every request a hop to a thread.
    parts: Parts = request.app.state.parts
    return parts


TheParts = Annotated[Parts, Depends(get_parts)]
