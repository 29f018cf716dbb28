"""Where the programs run: on Linux alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

ELSEWHERE = "import sys; sys.platform = {!r}; from zjobs.{} import __main__ as program; sys.exit(program.main())"


@pytest.mark.parametrize("platform", ["darwin", "win32", "freebsd14"])
@pytest.mark.parametrize("package", ["broker", "worker"])
def test_elsewhere_they_refuse_to_start(package: str, platform: str) -> None:
    """Exit code 78 and a sentence, before anything is imported that another system may not have."""
    started = subprocess.run(
        [sys.executable, "-c", ELSEWHERE.format(platform, package)], capture_output=True, text=True, timeout=60
    )
    assert started.returncode == 78 and started.stdout == ""
    assert started.stderr == f"z{package}: this program runs only on Linux (the Windows Subsystem for Linux will do)\n"
