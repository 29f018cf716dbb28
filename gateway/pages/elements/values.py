"""A job's data or result as what it is: text, a tree that folds, a plot, an image. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from zjobs.client.wording import text
from zjobs.gateway.pages.elements import plots
from zjobs.gateway.web.media import BYTES, type_of

MOST_CHARS = 20_000  # of one text
MOST_NODES = 400  # of one value
FEWEST_PLOTTED = 3
MOST_IMAGE_BYTES = 4 << 20
_MOST_DEPTH = 12
# What a browser shows as an image.
_IMAGES = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"}


class Node(NamedTuple):
    """A value, or a part of one. `name`: where it is in what it is a part of. `kind`: text, scalar, tree, plot, image,
    matrix or bytes. `summary`: what it is, in a few words. `rest`: how many parts or characters are not shown."""

    name: str
    kind: str
    summary: str = ""
    text: str = ""
    parts: tuple[Node, ...] = ()
    picture: Markup | str = ""
    rest: int = 0


def node_of(value: Any) -> Node:
    """Return what stands for a value on a page."""
    return _Builder().node("", value, 0)


class _Builder:
    """Makes nodes, as many as a page may have."""

    def __init__(self) -> None:
        self._left = MOST_NODES

    def node(self, name: str, value: Any, depth: int) -> Node:
        self._left -= 1
        if isinstance(value, str):
            return Node(name, "text", _size(len(value), "character"), value[:MOST_CHARS], rest=len(value[MOST_CHARS:]))
        if isinstance(value, bytes):
            return _bytes(name, value)
        if isinstance(value, Mapping):
            pairs = [(key if isinstance(key, str) else text.json_text(key), each) for key, each in value.items()]
            return self._tree(name, pairs, _size(len(pairs), "entry", "entries"), depth)
        if isinstance(value, (list, tuple)):
            return self._list(name, value, depth)
        return Node(name, "scalar", text=json.dumps(value) if value is None or value == value else "NaN")

    def _list(self, name: str, value: Sequence[Any], depth: int) -> Node:
        parts = [(str(place), each) for place, each in enumerate(value)]
        summary = _size(len(value), "number" if _are_numbers(value) else "item")
        tree = self._tree(name, parts, summary, depth)
        if len(value) >= FEWEST_PLOTTED and _are_numbers(value) and any(abs(each) < float("inf") for each in value):
            return tree._replace(kind="plot", picture=plots.line_plot(value))
        if _is_matrix(value):
            summary = f"{len(value)} × {len(value[0])} numbers"
            return tree._replace(kind="matrix", summary=summary, picture=plots.matrix_image(value))
        return tree

    def _tree(self, name: str, pairs: Sequence[tuple[str, Any]], summary: str, depth: int) -> Node:
        parts = []
        for key, each in pairs:
            if self._left <= 0 or depth >= _MOST_DEPTH:
                break
            parts.append(self.node(key, each, depth + 1))
        return Node(name, "tree", summary, parts=tuple(parts), rest=len(pairs) - len(parts))


def _bytes(name: str, value: bytes) -> Node:
    media_type = type_of(value)
    if media_type in _IMAGES and len(value) <= MOST_IMAGE_BYTES:
        url = f"data:{media_type};base64,{base64.b64encode(value).decode()}"
        return Node(name, "image", f"{media_type}, {text.byte_count(len(value))}", picture=url)
    kind = "bytes" if media_type == BYTES else media_type
    return Node(name, "bytes", f"{text.byte_count(len(value))}" + ("" if kind == "bytes" else f", {kind}"))


def _are_numbers(value: Sequence[Any]) -> bool:
    return all(type(each) in (int, float) for each in value)


def _is_matrix(value: Sequence[Any]) -> bool:
    if len(value) < 2 or not all(type(row) is list and len(row) == len(value[0]) > 1 for row in value):
        return False
    return all(_are_numbers(row) for row in value)


def _size(count: int, unit: str, units: str = "") -> str:
    return f"{count:,} {unit if count == 1 else units or f'{unit}s'}"
