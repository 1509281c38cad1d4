"""Reads a picture, renders the requested outputs, and stores them as files."""

from pathlib import PurePath
from urllib.parse import urlsplit

from config.settings import CollectSettings, ImagesSettings
from jobyard import Discard, FileNotStoredError, FileTooLargeError, get_files, get_section, run_coroutine
from jobyard.fetching.fetch import fetch
from tasks.images.payload import Convert, Converted, Made, Output, Source
from tasks.images.render import Rendered, open_picture, render


def convert(payload: Convert) -> Converted:
    """Make every output of a payload; raises `Discard` and the errors of `fetch`, and then stores no file."""
    name, content = _read(payload.source)
    picture = open_picture(content, get_section(ImagesSettings).max_pixels, payload.outputs)
    # All outputs are rendered before the first is stored, so that a failed job leaves no file behind.
    rendered = [
        _within_limit(number, render(picture, output)) for number, output in enumerate(payload.outputs)
    ]
    made = [
        _store(output, content, f"{PurePath(name).stem or 'picture'}-{number}")
        for number, (output, content) in enumerate(zip(payload.outputs, rendered, strict=True), 1)
    ]
    width, height = picture.size
    return Converted(
        source_format=picture.format,
        source_width=width,
        source_height=height,
        frames=picture.frames,
        outputs=tuple(made),
    )


def _read(source: Source) -> tuple[str, bytes]:
    if source.url is not None:
        limit = get_files().max_bytes
        fetched = run_coroutine(fetch(source.url, get_section(CollectSettings), max_bytes=limit))
        return PurePath(urlsplit(fetched.url).path).name, fetched.body
    files, file_id = get_files(), source.file or ""
    try:
        return files.describe(file_id).name, files.read(file_id)
    except FileNotStoredError as error:
        raise Discard(f"source: {error}") from error


def _within_limit(number: int, rendered: Rendered) -> Rendered:
    limit = get_files().max_bytes
    if len(rendered.content) > limit:
        raise Discard(f"outputs.{number}: {FileTooLargeError(limit)}")
    return rendered


def _store(output: Output, rendered: Rendered, default_name: str) -> Made:
    format = output.format
    name = output.name or f"{default_name}.{format}"
    stored = get_files().save(rendered.content, name=name, media_type=format.media_type)
    return Made(
        file=stored.id,
        name=stored.name,
        format=format,
        media_type=format.media_type,
        width=rendered.width,
        height=rendered.height,
        size=stored.size,
    )
