"""The whole specification, tried by schemathesis: whatever it makes up is answered as the specification says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Service, making_services

pytestmark = pytest.mark.openapi
HERE = Path(__file__).parent
PROGRAM = Path(sys.executable).parent / "schemathesis"
PHASES = ("--phases", "coverage,fuzzing", "--max-examples", "5", "--seed", "1", "--generation-database", "none")
ALONE = ("--no-color", "--request-timeout", "30", "--warnings", "off", "--output-truncate", "true")


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Service, str]]:
    """A service, and where its gateway is."""
    if not PROGRAM.exists():
        pytest.skip("SCHEMATHESIS IS NOT INSTALLED: the specification is not tried")
    with making_services() as make:
        service = make()
        service.start_broker()
        service.start_worker()
        service.until_worker("ready")
        service.client().submit_many("echo", range(100))  # their ids are such as it makes up
        (service.place / "config.toml").touch()
        (url,) = service.start_script("zstill_server", HERE / "still_server.py", str(service.place)).ready()
        yield service, url


@pytest.mark.parametrize("part", [("jobs",), ("users", "login"), ()])
@pytest.mark.parametrize("logged_in", [True, False])
def test_the_whole_specification(served: tuple[Service, str], logged_in: bool, part: tuple[str, ...]) -> None:
    """It finds nothing, with a token and without. `part`: tags; without any, all but those of the other parts."""
    service, url = served
    env = {**service.env, "GATEWAY_DATABASE": f"sqlite:///{service.place}/gateway.db"}
    if logged_in:
        env["SCHEMATHESIS_HOOKS"] = str(HERE / "hooks.py")
    words = [str(PROGRAM), "--config-file", str(HERE / "schemathesis.toml"), "run", f"{url}/openapi.json"]
    chosen = [word for tag in part for word in ("--include-tag", tag)]
    chosen = chosen or [word for tag in ("jobs", "users", "login") for word in ("--exclude-tag", tag)]
    ran = subprocess.run(
        [*words, *chosen, *PHASES, *ALONE],
        capture_output=True,
        text=True,
        env=env,
        cwd=service.place / "work",
        timeout=110,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
