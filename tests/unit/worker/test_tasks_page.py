"""docs/tasks.md: its code is put into the files it names, and its own tests are run on a whole service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from zjobs.testing import NotStarted, running_service

PAGE = Path(__file__).parents[3] / "docs/tasks.md"


def files_of(page: str) -> dict[str, str]:
    """The Python blocks of the page, put together by the file that their first line names."""
    files: dict[str, str] = {}
    for name, code in re.findall(r"^```python\n# (\S+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        files[name] = files.get(name, "from __future__ import annotations\n") + code
    return files


def test_page(tmp_path: Path) -> None:
    """What a newcomer copies from the page works: the tasks, the fixture and the tests."""
    files = files_of(PAGE.read_text(encoding="utf-8"))
    assert set(files) == {"lab.py", "conftest.py", "test_lab.py"}
    for name, code in files.items():
        (tmp_path / name).write_text(code)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    run = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 passed" in run.stdout


def test_service_that_cannot_start(capfd: pytest.CaptureFixture[str]) -> None:
    """A module that cannot be imported fails the test with the worker's own sentence, and leaves nothing."""
    with (
        pytest.raises(NotStarted, match="--tasks no_such_module: ModuleNotFoundError"),
        running_service(["no_such_module"]),
    ):
        pass
    assert "no_such_module" in capfd.readouterr().err


def test_log_is_shown_when_the_block_fails(capfd: pytest.CaptureFixture[str]) -> None:
    """Who sees a test fail sees what broker and worker had to say."""
    with pytest.raises(ZeroDivisionError), running_service() as service:
        folder = service.folder
        raise ZeroDivisionError
    assert "--- worker" in capfd.readouterr().err
    assert not folder.exists()
