"""The units in deploy/systemd, and what the programs tell a service manager; a socket stands in for systemd."""

from __future__ import annotations

import contextlib
import re
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Service

UNITS = Path(__file__).parents[2] / "deploy/systemd"
PATIENCE_S = 20.0


class Manager:
    """The socket of a service manager."""

    def __init__(self, service: Service, **environment: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(service.place / "notify"))
        service.env |= {"NOTIFY_SOCKET": str(service.place / "notify"), **environment}

    def hears(self, wanted: str, seconds: float = PATIENCE_S) -> bool:
        """Wait for a message; those before it are dropped."""
        while select.select([self._socket], (), (), seconds)[0]:
            if self._socket.recv(4096).decode() == wanted:
                return True
        return False

    def close(self) -> None:
        self._socket.close()

    def drop_all(self) -> None:
        """Forget what was told so far."""
        while select.select([self._socket], (), (), 0)[0]:
            self._socket.recv(4096)


@pytest.fixture
def manager_of() -> Iterator[Callable[..., Manager]]:
    """Makes managers for the programs that a service starts from then on."""
    with contextlib.ExitStack() as stack:
        yield lambda *given, **how: stack.enter_context(contextlib.closing(Manager(*given, **how)))


def test_a_broker_tells_how_it_is(new_service: Callable[..., Service], manager_of: Callable[..., Manager]) -> None:
    """It is ready, in words, and stops."""
    service = new_service()
    manager = manager_of(service)
    service.start_broker()
    assert manager.hears("READY=1")
    assert manager.hears("STATUS=0 running, 0 queued, worker absent")
    service.env.pop("NOTIFY_SOCKET")
    service.client().submit("reverse", "abc")
    assert manager.hears("STATUS=0 running, 1 queued, worker absent")
    service.broker.signal(signal.SIGTERM)
    assert manager.hears("STOPPING=1")


def test_a_broker_that_hangs_no_longer_feeds_the_watchdog(
    new_service: Callable[..., Service], manager_of: Callable[..., Manager]
) -> None:
    """Only its turns do, so that systemd starts one that hangs anew."""
    service = new_service()
    manager = manager_of(service, WATCHDOG_USEC="600000")
    service.start_broker()
    assert manager.hears("WATCHDOG=1") and manager.hears("WATCHDOG=1")  # though nobody asks for anything
    service.broker.signal(signal.SIGSTOP)
    manager.drop_all()
    assert not manager.hears("WATCHDOG=1", 0.6)
    service.broker.signal(signal.SIGCONT)
    assert manager.hears("WATCHDOG=1")


def test_a_worker_finishes_its_job_when_it_is_stopped_first(
    new_service: Callable[..., Service], manager_of: Callable[..., Manager]
) -> None:
    """The order of the units: the worker before the broker, with a signal to itself alone."""
    service = new_service()
    service.start_broker()
    manager = manager_of(service)
    service.start_worker()
    assert manager.hears("READY=1")
    service.until_worker("ready")
    job = service.client().submit("once_gate", "a")
    assert manager.hears(f"STATUS=running job {job.id}")
    service.worker.signal(signal.SIGTERM)
    assert manager.hears("STOPPING=1")
    assert manager.hears(f"STATUS=stopping after job {job.id}")
    service.open_gate("a")
    assert job.wait(PATIENCE_S).state == "completed"
    assert service.worker.ended() == 0
    assert service.runs("start") == ["a"]


def test_check_of_a_worker(new_service: Callable[..., Service]) -> None:
    """Types are printed while another worker runs; what cannot be imported is said."""
    service = new_service()
    service.start_broker()
    service.start_worker()
    ran = service.run("worker", "--check", "--tasks", "own_tasks")
    assert ran.returncode == 0, ran.stderr
    assert {line.split()[0] for line in ran.stdout.splitlines()} >= {"reverse", "once_gate"}
    ran = service.run("worker", "--check", "--tasks", "nowhere")
    assert ran.returncode == 78 and "nowhere" in ran.stderr


def test_check_of_a_broker(new_service: Callable[..., Service], tmp_path: Path) -> None:
    """While another one runs; and before there is a journal. Nothing is made."""
    service = new_service()
    new = tmp_path / "new.db"
    ran = service.run("broker", "--check", "--journal", str(new))
    assert ran.returncode == 0 and "the broker makes it" in ran.stdout and not new.exists()
    service.start_broker(journal=str(new))
    ran = service.run("broker", "--check", "--journal", str(new))
    assert ran.returncode == 0 and re.search(r"has format \d+$", ran.stdout.strip()), ran
    new_format = tmp_path / "newer.db"
    content = bytearray(new.read_bytes())
    content[60:64] = (999).to_bytes(4, "big")
    new_format.write_bytes(content)
    ran = service.run("broker", "--check", "--journal", str(new_format))
    assert ran.returncode == 74 and "use a newer one" in ran.stderr
    assert service.run("broker", "--check", "--listen", "tcp://0.0.0.0:5570").returncode == 78


# --- the units ------------------------------------------------------------------------------------------------


def settings(unit: str) -> dict[str, list[str]]:
    """The settings of a unit."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", (UNITS / unit).read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("unit", ["zbroker@.service", "zworker@.service", "zgateway.service"])
def test_units_are_what_systemd_understands(unit: str, tmp_path: Path) -> None:
    """systemd-analyze finds nothing, once the programs are where the unit says."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("NO UNIT IS VERIFIED: systemd-analyze is missing (Debian: apt-get install systemd)")
    true = shutil.which("true")
    for name in UNITS.iterdir():
        text = re.sub(r"/opt/zjobs/bin/\w+", str(true), name.read_text())
        instance = name.name.replace("@.", "@laser.")
        (tmp_path / instance).write_text(re.sub("^Documentation=.*", "", text, flags=re.MULTILINE))
    ran = subprocess.run(
        [analyze, "verify", "--man=no", str(tmp_path / unit.replace("@.", "@laser."))], capture_output=True, text=True
    )
    complaints = [line for line in ran.stderr.splitlines() if str(tmp_path) in line or "zjobs" in line]
    assert not complaints, ran.stderr


@pytest.mark.parametrize(
    ("unit", "most"), [("zbroker@.service", 2.0), ("zworker@.service", 5.0), ("zgateway.service", 2.0)]
)
def test_units_expose_little(unit: str, most: float, tmp_path: Path) -> None:
    """systemd's own measure, from 0 (nothing) to 10."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("NO UNIT IS RATED: systemd-analyze is missing (Debian: apt-get install systemd)")
    instance = tmp_path / unit.replace("@.", "@laser.")
    instance.write_text(re.sub(r"/opt/zjobs/bin/\w+", str(shutil.which("true")), (UNITS / unit).read_text()))
    ran = subprocess.run([analyze, "security", "--offline=true", str(instance)], capture_output=True, text=True)
    rated = re.search(r"Overall exposure level for \S+: ([\d.]+)", ran.stdout)
    assert rated is not None, ran
    assert float(rated[1]) <= most, ran.stdout


def test_what_the_units_promise() -> None:
    """Every program is restarted without end, the broker has a watchdog, and the worker stops first."""
    for unit in ("zbroker@.service", "zworker@.service", "zgateway.service"):
        told = settings(unit)
        assert told["Type"] == ["notify"] and told["Restart"] == ["always"] and told["RestartSec"] == ["3"]
        assert told["StartLimitIntervalSec"] == ["0"] and told["ProtectSystem"] == ["strict"]
        assert told["User"] == ["zjobs"] and "StateDirectory" in told
    assert settings("zbroker@.service")["WatchdogSec"] == ["60"]
    worker = settings("zworker@.service")
    assert worker["KillMode"] == ["mixed"] and "zbroker@%i.service" in worker["After"][0].split()
