"""Media types: which one a client prefers, and what bytes are."""

from __future__ import annotations

from collections.abc import Sequence

JSON = "application/json"
MSGPACK = "application/msgpack"
BYTES = "application/octet-stream"
TEXT = "text/plain"
EVENT_STREAM = "text/event-stream"

# Images that browsers show without running anything; SVG is not among them.
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"BM", "image/bmp"),
)


def type_of(content: bytes) -> str:
    """Return the media type of bytes: that of an image by how it begins, or none in particular."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((media_type for beginning, media_type in _BEGINNINGS if content.startswith(beginning)), BYTES)


def preferred(accept: str, offers: Sequence[str]) -> str:
    """Return the one of `offers` that an Accept header prefers; the first if it accepts none or all alike."""
    wanted = [_range(part) for part in accept.split(",") if part.strip()]
    if not wanted:
        return offers[0]
    return max(offers, key=lambda offer: (_quality(offer, wanted), -offers.index(offer)))


def _range(part: str) -> tuple[str, float]:
    media_range, *parameters = (each.strip().lower() for each in part.split(";"))
    quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    try:
        return media_range, min(1.0, max(0.0, float(quality)))
    except ValueError:
        return media_range, 0.0


def _quality(offer: str, wanted: list[tuple[str, float]]) -> float:
    """Return the quality of the most specific range that has this type."""
    ranges = (offer, f"{offer.partition('/')[0]}/*", "*/*")
    return next((quality for each in ranges for media_range, quality in wanted if media_range == each), 0.0)
