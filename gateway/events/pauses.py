"""Past pauses, from a broker's audit trail: a gateway that starts was not there to hear of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from zjobs.messages.records import AuditEntry

_LASTS = re.compile(r"(?P<told>.*?)(?:(?:, |^)for (?P<seconds>[0-9]{1,12}) s)?", re.DOTALL)


class _Begun(NamedTuple):
    """A pause in the trail. `until`: when it ends by itself. `told`: its owner and reason."""

    since: int
    until: int | None
    told: str


def past_pauses(entries: Iterable[AuditEntry], now: int) -> list[tuple[int, int]]:
    """Return beginnings and ends of the pauses that have ended, as far as these entries tell."""
    begun: dict[str, _Begun] = {}
    ended: list[tuple[int, int]] = []

    def end(owner: str, at: int) -> None:
        pause = begun.pop(owner)
        ended.append((pause.since, at if pause.until is None else min(at, pause.until)))

    for entry in sorted(entries, key=lambda entry: entry.number):
        if entry.op == "pause":
            owner = entry.who if entry.proven else ""
            if owner in begun:  # a person's new pause replaces the one before
                end(owner, entry.at)
            begun[owner] = _begun(entry)
        elif entry.op == "resume":
            for owner in [owner for owner, pause in begun.items() if f"; {pause.told}; " in f"; {entry.text}; "]:
                end(owner, entry.at)
    for owner, pause in list(begun.items()):
        if pause.until is not None and pause.until <= now:
            end(owner, now)
    return ended


def _begun(entry: AuditEntry) -> _Begun:
    match = _LASTS.fullmatch(entry.text)
    assert match is not None  # any text matches
    seconds = match["seconds"]
    return _Begun(entry.at, None if seconds is None else entry.at + 1000 * int(seconds), match["told"])
