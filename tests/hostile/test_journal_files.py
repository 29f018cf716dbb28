"""The journal's files, where others can write beside them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ANOTHER_USER = 65_534


def test_the_journal_is_its_owners_alone(new_service: Callable[..., Any]) -> None:
    """Made 0600 whatever the umask is, its log and its lock too."""
    before = os.umask(0)
    try:
        service = new_service("tcp://127.0.0.1:*")
        service.start_broker()
    finally:
        os.umask(before)
    service.ask("submit", request_key="k", jobs=[{"type": "x"}])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in service.place.glob("journal.db*")}
    assert set(modes.values()) == {0o600} and {"journal.db", "journal.db-wal", "journal.db.lock"} <= set(modes)


@pytest.mark.parametrize("name", ["journal.db.new", "journal.db.lock"])
def test_links_beside_the_journal_are_not_followed(new_service: Callable[..., Any], name: str) -> None:
    """A link of whoever put it there must not lead to a file being overwritten."""
    service = new_service("tcp://127.0.0.1:*")
    victim = service.place / "victim"
    victim.write_text("precious")
    (service.place / name).symlink_to(victim)
    own = ("--listen", service.listen, "--pipe", service.pipe, "--reports", service.reports)
    if name.endswith(".lock"):
        assert service.start("broker", *own, "--journal", service.journal).ended() == 73
    else:
        service.start_broker()
    assert victim.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make links for another user")
@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "journal.db.new-wal"])
def test_links_of_another_user_are_refused(new_service: Callable[..., Any], name: str) -> None:
    """In a folder that both write to, one could make the other's broker write anywhere."""
    service = new_service("tcp://127.0.0.1:*")
    victim = Path(service.place / "victim")
    victim.touch()
    link = service.place / name
    link.symlink_to(victim)
    os.lchown(link, ANOTHER_USER, ANOTHER_USER)
    own = ("--listen", service.listen, "--pipe", service.pipe, "--reports", service.reports)
    refused = service.start("broker", *own, "--journal", service.journal)
    assert refused.ended() == 74 and "link" in refused.log
    assert victim.read_bytes() == b""
