"""One Python file: its text as it stands, byte for byte, and edits of it by positions of the syntax tree."""

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# The line ends of Python's grammar; str.splitlines knows others besides.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
_BOM = "\ufeff"


class UnreadableError(Exception):
    """The file is no Python that this interpreter reads; says why."""


@dataclass(frozen=True, slots=True, order=True)
class TextEdit:
    """Replaces the characters from `start` to `end` of a text."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class SourceFile:
    """A file that was read: its path as it is shown, its text without the byte order mark, and its tree."""

    path: str
    text: str
    tree: ast.Module
    encoding: str = "utf-8"
    has_bom: bool = False

    @cached_property
    def lines(self) -> list[str]:
        return lines_of(self.text)

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self.lines:
            starts.append(starts[-1] + len(line))
        return starts

    @cached_property
    def newline(self) -> str:
        """The line end of the first line."""
        first = self.lines[0] if self.lines else ""
        return first[len(first.rstrip("\r\n")) :] or "\n"

    def offset(self, line: int, column: int) -> int:
        """Return the place in the text of a position of the tree, whose columns count UTF-8 bytes."""
        if line > len(self.lines):
            return len(self.text)
        text = self.lines[line - 1]
        characters = column if text.isascii() else len(text.encode()[:column].decode(errors="ignore"))
        return self._starts[line - 1] + characters

    def span(self, node: ast.expr | ast.stmt | ast.alias) -> tuple[int, int]:
        """Return where a node begins and ends in the text."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self.offset(node.lineno, node.col_offset),
            self.offset(node.end_lineno, node.end_col_offset),
        )

    def segment(self, node: ast.expr | ast.stmt | ast.alias) -> str:
        """Return the text of a node."""
        start, end = self.span(node)
        return self.text[start:end]

    def line_of(self, offset: int) -> tuple[int, int]:
        """Return where the line of a place begins and ends, its line end included."""
        start = max(self.text.rfind("\n", 0, offset), self.text.rfind("\r", 0, offset)) + 1
        end = _LINE.match(self.text, offset)
        return start, end.end() if end else len(self.text)

    def encoded(self, text: str) -> bytes:
        """Return another text in this file's encoding."""
        return (f"{_BOM}{text}" if self.has_bom else text).encode(self.encoding)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text with their ends, as Python counts them."""
    return [line for line in _LINE.findall(text) if line]


def read_source(shown: str, path: Path) -> SourceFile:
    """Read and parse a file; raises `UnreadableError`, and `OSError` where it cannot be opened."""
    return parse_source(shown, path.read_bytes())


def parse_source(shown: str, data: bytes) -> SourceFile:
    """Parse the bytes of a file; raises `UnreadableError`."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        encoding = "utf-8" if encoding == "utf-8-sig" else encoding
        text = data.decode(encoding)
    except (SyntaxError, LookupError) as error:
        raise UnreadableError(f"its encoding is not known ({error})") from error
    except UnicodeDecodeError as error:
        raise UnreadableError(
            f"it is not {encoding}: byte {error.start} is 0x{data[error.start]:02x}"
        ) from error
    except UnicodeError as error:  # of codecs that do not say where
        raise UnreadableError(f"it is not {encoding}: {error}") from error
    has_bom = text.startswith(_BOM)
    text = text.removeprefix(_BOM)
    return SourceFile(shown, text, parsed(text), encoding, has_bom)


def parsed(text: str) -> ast.Module:
    """Return the syntax tree of a text; raises `UnreadableError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        raise UnreadableError(f"line {error.lineno or 1}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UnreadableError(str(error) or type(error).__name__) from error


def edited(text: str, edits: Iterable[TextEdit]) -> str:
    """Return the text with all edits made; they must not overlap."""
    for edit in sorted(set(edits), reverse=True):
        text = f"{text[: edit.start]}{edit.text}{text[edit.end :]}"
    return text
