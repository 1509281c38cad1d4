"""Files: upload them, give their ids to tasks, download the files that tasks have made."""

import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message

from jobyard.http.accept.body import media_type
from jobyard.http.errors import Problem
from jobyard.http.operation import headers, problems
from jobyard.http.parts import Parts, TheParts
from jobyard.http.schemas import FileView
from jobyard.jobs.errors import FileTooLargeError
from jobyard.jobs.files.store import UNKNOWN_MEDIA_TYPE, StoredFile

router = APIRouter(prefix="/v1/files", tags=["files"])

MULTIPART = "multipart/form-data"
# The syntax of RFC 6838 (4.2); a file with any other type is kept as one of unknown type.
MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,90}/[\w!#$&^.+-]{1,90}", re.ASCII)
CHUNK_BYTES = 256 * 1024
# What a multipart body may add to the file: boundaries, part headers and other fields.
MULTIPART_SLACK_BYTES = 64 * 1024

BINARY = {"schema": {"type": "string", "format": "binary"}}
UPLOAD_BODY = {
    "required": True,
    "content": {
        MULTIPART: {
            "schema": {
                "type": "object",
                "properties": {"file": BINARY["schema"]},
                "required": ["file"],
            }
        },
        UNKNOWN_MEDIA_TYPE: BINARY,
    },
}


@router.post(
    "",
    operation_id="upload_file",
    status_code=HTTPStatus.CREATED,
    responses={
        201: {"description": "The file is stored.", "headers": headers("Location")},
        **problems(408, 413),
    },
    openapi_extra={"requestBody": UPLOAD_BODY},
)
async def upload(
    request: Request,
    response: Response,
    parts: TheParts,
    name: Annotated[str | None, Query(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")] = None,
) -> FileView:
    """Store a file: the field `file` of a form, or the body itself with its Content-Type and `?name=`."""
    request = _bounded(request, parts.settings.files.max_bytes)
    is_form = media_type(request) == MULTIPART
    stored = await (_from_form(request, parts, name) if is_form else _from_body(request, parts, name))
    response.headers["Location"] = f"/v1/files/{stored.id}"
    return _view(stored)


def _bounded(request: Request, max_bytes: int) -> Request:
    # Starlette reads a form to its end, into a file on disk, before our code sees any of it.
    limit, received = max_bytes + MULTIPART_SLACK_BYTES, 0
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise FileTooLargeError(max_bytes)

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise FileTooLargeError(max_bytes)
        return message

    return Request(request.scope, receive)


async def _from_form(request: Request, parts: Parts, name: str | None) -> StoredFile:
    try:
        async with request.form(max_files=1, max_fields=10) as form:
            part = form.get("file")
            if not isinstance(part, UploadFile):
                raise _wrong_file("the form has no file in its field `file`")
            return await _store(parts, _chunks_of(part), name or part.filename, part.content_type)
    except HTTPException as error:
        raise _wrong_file(f"the form cannot be read: {error.detail}") from error


async def _from_body(request: Request, parts: Parts, name: str | None) -> StoredFile:
    return await _store(parts, request.stream(), name, media_type(request))


async def _store(
    parts: Parts, chunks: AsyncIterator[bytes], name: str | None, declared_type: str | None
) -> StoredFile:
    first = b""
    async for first in chunks:
        if first:
            break
    if not first:
        raise _wrong_file("the file holds no bytes")
    printable = "".join(character for character in name or "file" if character.isprintable())
    bare_type = (declared_type or "").split(";")[0].strip().lower()
    valid_type = bare_type if MEDIA_TYPE.fullmatch(bare_type) else None
    return await parts.files.save_async(
        _prepend(first, chunks), name=printable or "file", media_type=valid_type
    )


async def _prepend(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


async def _chunks_of(part: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await part.read(CHUNK_BYTES):
        yield chunk


def _wrong_file(detail: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, kind="invalid-request", field="file")


@router.get(
    "/{file_id}",
    operation_id="download_file",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The file, with the media type under which it was stored.",
            "content": {UNKNOWN_MEDIA_TYPE: BINARY, "*/*": BINARY},
            "headers": headers("ETag", "Content-Disposition"),
        },
        **problems(404),
    },
)
async def download(file_id: UUID, parts: TheParts) -> StreamingResponse:
    """The file's bytes, as they were stored."""
    stored = await run_in_threadpool(parts.files.describe, str(file_id))
    headers = {
        "Content-Type": stored.media_type,  # as uploaded: the charset is not known, so none is added
        "Content-Length": str(stored.size),
        "ETag": f'"{stored.sha256}"',
        # An uploaded or fetched file is untrusted and must not run as a page of this API.
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(stored.name, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    return StreamingResponse(parts.files.stream(stored.id), headers=headers)


def _view(stored: StoredFile) -> FileView:
    fields = {name: getattr(stored, name) for name in stored.__slots__}
    return FileView(**fields, links={"self": f"/v1/files/{stored.id}"})
