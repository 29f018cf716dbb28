"""Complete logs of runs in files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from zjobs.worker.core.interfaces import RunName
from zjobs.worker.files.log_files import LogFiles


def test_each_run_of_each_journal_has_its_own_file(tmp_path: Path) -> None:
    """Named by journal, job and run; the path is returned, for `show`."""
    files = LogFiles(tmp_path / "logs")
    names = [RunName("a", 1, 1), RunName("a", 1, 2), RunName("a", 2, 1), RunName("b", 1, 1)]
    paths = []
    for number, name in enumerate(names):
        files.write(name, b"begin ")
        paths.append(files.write(name, b"%d" % number))
        files.close()
    assert [Path(path).read_bytes() for path in paths if path] == [b"begin 0", b"begin 1", b"begin 2", b"begin 3"]
    assert len(set(paths)) == 4


def test_the_file_of_an_earlier_run_is_kept(tmp_path: Path) -> None:
    """With an older journal in place, a run of the same name comes again: it is appended."""
    run = RunName("a", 1, 1)
    for text in (b"first", b"second"):
        files = LogFiles(tmp_path)
        path = files.write(run, text)
        files.close()
    assert path is not None and Path(path).read_bytes() == b"firstsecond"


def test_a_task_goes_on_when_its_log_cannot_be_written(tmp_path: Path) -> None:
    """Nothing more of that run is written; the next run is tried anew."""
    files = LogFiles(tmp_path)
    (tmp_path / "a").write_text("in the way")
    assert files.write(RunName("a", 1, 1), b"lost") is None
    (tmp_path / "a").unlink()
    assert files.write(RunName("a", 1, 1), b"lost, too") is None
    path = files.write(RunName("a", 2, 1), b"kept")
    files.close()
    assert path is not None and Path(path).read_bytes() == b"kept"


def test_a_full_disk_ends_the_log_and_not_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What there is stays; no path is told any more."""
    files = LogFiles(tmp_path)
    path = files.write(RunName("a", 1, 1), b"there")

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        assert files.write(RunName("a", 1, 1), b"lost") is None
    assert files.write(RunName("a", 1, 1), b"lost, too") is None
    assert path is not None and Path(path).read_bytes() == b"there"


def test_without_a_directory_nothing_is_written() -> None:
    """Then there is no path to show."""
    assert LogFiles(None).write(RunName("a", 1, 1), b"text") is None
