"""The predefined tasks. A "character" is what a person sees: marks and joined emoji stay with their base."""

from __future__ import annotations

import time
from collections.abc import Callable

import regex

from zjobs.worker.tasks import register

SECONDS = {"reverse": 2, "swap": 5, "repeat": 7}
MAX_RERUNS = 2
MAX_REPEAT_BYTES = 64 << 20

# Python's own `re` has no \X (extended grapheme cluster), and the rules behind it are a table of their own.
_characters: Callable[[str], list[str]] = regex.compile(r"\X").findall


def reverse(text: str) -> str:
    """Reverse the text."""
    return "".join(reversed(_characters(text)))


def swap(text: str) -> str:
    """Swap neighbouring characters, pair by pair; an odd last one stays."""
    characters = _characters(text)
    for i in range(0, len(characters) - 1, 2):
        characters[i], characters[i + 1] = characters[i + 1], characters[i]
    return "".join(characters)


def repeat(text: str) -> str:
    """Repeat the n-th character n times, counted from 1."""
    characters = _characters(text)
    # checked before: half a megabyte of text would become more than the machine can hold
    size = sum(len(character.encode("utf-8", "replace")) * n for n, character in enumerate(characters, 1))
    if size > MAX_REPEAT_BYTES:
        raise ValueError(f"the result would have {size:,} bytes, more than the limit of {MAX_REPEAT_BYTES:,}")
    return "".join(character * n for n, character in enumerate(characters, 1))


def register_all(time_scale: float) -> None:
    """Register the three, each with its simulated duration times `time_scale`."""
    for function in (reverse, swap, repeat):
        name = function.__name__
        timed = _taking(SECONDS[name] * time_scale, function)
        register(timed, name, function.__doc__, max_reruns=MAX_RERUNS)


def _taking(seconds: float, function: Callable[[str], str]) -> Callable[[str], str]:
    sleep = time.sleep  # now: other tasks in this process may replace it

    def timed(text: str) -> str:
        if seconds:
            sleep(seconds)
        return function(text)

    return timed
