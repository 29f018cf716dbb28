"""The whole specification, tried by schemathesis: whatever it makes up is answered as the specification says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.conftest import Service

pytestmark = pytest.mark.openapi
PROGRAM = Path(sys.executable).parent / "schemathesis"
PASSWORD = "correct horse battery"
# Streams do not end; the others end the very login that the run uses.
LEFT_OUT = r"(/events|/auth/token|/auth/session|/me/password)$"


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    """Where a gateway is."""
    if not PROGRAM.exists():
        pytest.skip("SCHEMATHESIS IS NOT INSTALLED: the specification is not tried")
    service.env["ZGATEWAY_ADMIN_PASSWORD"] = PASSWORD
    service.env["XDG_CONFIG_HOME"] = str(service.place / "config")
    service.until_worker("ready")
    (at,) = service.start("gateway", "--listen", "127.0.0.1:*").ready()
    yield at


@pytest.mark.parametrize("logged_in", [True, False])
def test_the_whole_specification(url: str, logged_in: bool, tmp_path: Path) -> None:
    """It finds nothing, with a token and without."""
    words = ["run", f"{url}/openapi.json", "--exclude-path-regex", LEFT_OUT, "--max-examples", "10", "--no-color"]
    words += ["--phases", "examples,coverage,fuzzing", "--seed", "1", "--request-timeout", "30"]
    if logged_in:
        told = httpx.post(f"{url}/api/v1/auth/token", data={"username": "admin", "password": PASSWORD}).json()
        words += ["--header", f"Authorization: Bearer {told['access_token']}"]
    ran = subprocess.run([str(PROGRAM), *words], capture_output=True, text=True, cwd=tmp_path, timeout=110)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
