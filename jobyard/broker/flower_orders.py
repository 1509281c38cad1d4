"""What Flower's buttons do to jobs, with answers that say what became of the order."""

from http import HTTPStatus
from typing import Any

from flower.api.control import TaskRevoke
from tornado import web

from jobyard.broker.revoke import revoke
from jobyard.jobs.actors import FLOWER
from jobyard.jobs.ledger import get_ledger


def revoke_in_the_ledger() -> None:
    """Make "Revoke" and "Terminate" cancel a job that waits, and say so where they cannot."""
    TaskRevoke.post = web.authenticated(_revoke)


async def _revoke(self: Any, taskid: str) -> None:
    if self.application.options.read_only:
        raise web.HTTPError(HTTPStatus.FORBIDDEN, "Read only mode is enabled")
    is_to_end = self.get_argument("terminate", default=False, type=bool)
    reason = "terminated in Flower" if is_to_end else "revoked in Flower"
    [answer] = await self.run_blocking(
        "task.revoke", taskid, revoke, get_ledger(), taskid, reason=reason, actor=FLOWER
    )
    if answer.is_done:
        self.write({"message": answer.text})
        return
    self.set_status(HTTPStatus.NOT_FOUND if answer.status is None else HTTPStatus.CONFLICT)
    self.write(answer.text)
