"""The beginning of a job's data as a short text for people: like JSON; that of a command as a command line."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from shlex import quote

from zjobs.messages.records import COMMAND, DataPreview, JobStatus

MORE = "\u2026"
MOST_CHARS = 60

# The first bytes of values with a fixed or stated length: github.com/msgpack/msgpack/blob/master/spec.md
_NUMBERS = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_WORDS = {0xC0: "null", 0xC2: "false", 0xC3: "true"}
_LENGTHS = {1: ">B", 2: ">H", 4: ">I"}
_BINARY = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_TEXT = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_LIST = {0xDC: 2, 0xDD: 4}
_MAP = {0xDE: 2, 0xDF: 4}


class _Ends(Exception):
    """The end of a beginning, in the middle of a value."""


class _NoValue(Exception):
    """Bytes that are not msgpack, or an extension type."""


def preview_of(job: JobStatus, most: int = MOST_CHARS) -> str:
    """Return the beginning of a job's data as text of at most `most` characters; empty if it was not requested."""
    if job.data_preview is None:
        return ""
    line = _command_line(job.data_preview) if job.type == COMMAND else None
    if line is None:
        return preview_text(job.data_preview, most)
    return line if len(line) <= most else line[: most - 1] + MORE


def _command_line(preview: DataPreview) -> str | None:
    """Return the command line as a shell would read it, with an ellipsis where it goes on; None if the data is not that
    of a command, or does not begin with `argv`."""
    words: list[str] = []
    try:
        for word, whole in _Beginning(preview.body).argv():
            words.append(quote(word) if whole else quote(word).removesuffix("'") + MORE)
    except _NoValue:
        return None
    except _Ends:
        if not words or not words[-1].endswith(MORE):
            words.append(MORE)
    return " ".join(words)


def preview_text(preview: DataPreview, most: int = MOST_CHARS) -> str:
    """Return the beginning of a packed value as text of at most `most` characters, which ends with an ellipsis where
    the value goes on: `{"count": 3, "path": "/da\u2026`."""
    beginning = _Beginning(preview.body)
    text = ""
    try:
        for part in beginning.value():
            text += part
            if len(text) > most:
                raise _Ends
        if beginning.rest or preview.size_bytes > len(preview.body):
            raise _NoValue
    except _Ends:
        if preview.size_bytes > len(preview.body) or len(text) > most:
            return text[: most - 1] + MORE
        return _no_value(preview)
    except _NoValue:
        return _no_value(preview)
    return text


def _no_value(preview: DataPreview) -> str:
    return f"{preview.size_bytes} bytes, not msgpack"


class _Beginning:
    """A reader of a value of which there may be only the beginning."""

    def __init__(self, body: bytes) -> None:
        self.rest = body

    def value(self) -> Iterator[str]:
        """Yield the text of the next value, piece by piece."""
        kind = self._consume(1)[0]
        if kind < 0x80 or kind >= 0xE0:
            yield str(kind if kind < 0x80 else kind - 0x100)
        elif kind < 0x90:
            yield from self._items("{}", kind & 0x0F, pairs=True)
        elif kind < 0xA0:
            yield from self._items("[]", kind & 0x0F)
        elif kind < 0xC0:
            yield from self._text(kind & 0x1F)
        elif kind in _WORDS:
            yield _WORDS[kind]
        elif kind in _NUMBERS:
            yield str(self._number(_NUMBERS[kind]))
        elif kind in _BINARY:
            size = self._size(_BINARY[kind])
            yield f"<{size} bytes>"
            self._consume(size)
        elif kind in _TEXT:
            yield from self._text(self._size(_TEXT[kind]))
        elif kind in _LIST:
            yield from self._items("[]", self._size(_LIST[kind]))
        elif kind in _MAP:
            yield from self._items("{}", self._size(_MAP[kind]), pairs=True)
        else:
            raise _NoValue

    def argv(self) -> Iterator[tuple[str, bool]]:
        """Yield the words of a command, and whether each is whole."""
        if not 0x80 < self._consume(1)[0] < 0x90 or self._word() != ("argv", True):
            raise _NoValue
        kind = self._consume(1)[0]
        if kind not in _LIST and not 0x90 <= kind < 0xA0:
            raise _NoValue
        for _ in range(self._size(_LIST[kind]) if kind in _LIST else kind & 0x0F):
            word, whole = self._word()
            yield word, whole
            if not whole:
                raise _Ends

    def _word(self) -> tuple[str, bool]:
        kind = self._consume(1)[0]
        if kind not in _TEXT and not 0xA0 <= kind < 0xC0:
            raise _NoValue
        return self._characters(self._size(_TEXT[kind]) if kind in _TEXT else kind & 0x1F)

    def _items(self, brackets: str, count: int, pairs: bool = False) -> Iterator[str]:
        yield brackets[0]
        for place in range(count):
            if place:
                yield ", "
            yield from self.value()
            if pairs:
                yield ": "
                yield from self.value()
        yield brackets[1]

    def _characters(self, size: int) -> tuple[str, bool]:
        """Return a text of this size, as far as it is there, and whether it is whole."""
        whole = size <= len(self.rest)
        body = self._consume(min(size, len(self.rest)))
        return body.decode(errors="replace" if whole else "ignore"), whole

    def _text(self, size: int) -> Iterator[str]:
        text, whole = self._characters(size)
        yield json.dumps(text, ensure_ascii=False)[: None if whole else -1]
        if not whole:
            raise _Ends

    def _number(self, form: str) -> float:
        number: float = struct.unpack(form, self._consume(struct.calcsize(form)))[0]
        return number

    def _size(self, width: int) -> int:
        return int(self._number(_LENGTHS[width]))

    def _consume(self, size: int) -> bytes:
        if size > len(self.rest):
            raise _Ends
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken
