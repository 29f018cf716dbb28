"""Real gateways on one database: started at once, told the way in, ended."""

from __future__ import annotations

import re
import signal
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Program, Service

NewService = Callable[..., "Service"]


def start(service: Service) -> Program:
    return service.start("gateway", "--listen", "127.0.0.1:*")


def status_of_login(url: str, password: str) -> int:
    form = urllib.parse.urlencode({"username": "admin", "password": password}).encode()
    try:
        with urllib.request.urlopen(f"{url}/api/v1/auth/token", form, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_two_gateways_start_at_once_and_share_their_users(new_service: NewService) -> None:
    """One of them makes the first user and tells the password; both let that one in. The database is for us alone."""
    service = new_service()
    gateways = [start(service) for _ in range(2)]
    for gateway in gateways:
        gateway.ready()
    for gateway in gateways:
        gateway.signal(signal.SIGTERM)
    told = "".join(gateway.process.stdout.read().decode() for gateway in gateways if gateway.process.stdout)
    (password,) = re.findall(r"^first login: admin, password (\S{20})$", told, re.MULTILINE)
    urls = [start(service).ready()[0] for _ in range(2)]
    assert [status_of_login(url, password) for url in urls] == [200, 200]
    assert status_of_login(urls[0], "another-password") == 401
    file = service.place / "home/state/zjobs/gateway.db"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_lost_password_is_replaced(new_service: NewService) -> None:
    """By who runs the gateway, while it runs; the old one is refused."""
    service = new_service()
    service.env["ZGATEWAY_ADMIN_PASSWORD"] = "an-old-password"
    (url,) = start(service).ready()
    assert status_of_login(url, "an-old-password") == 200
    ran = service.run("gateway", "password", "admin")
    assert ran.returncode == 0
    assert [status_of_login(url, password) for password in (ran.stdout.strip(), "an-old-password")] == [200, 401]
    unknown = service.run("gateway", "password", "nobody")
    assert (unknown.returncode, unknown.stderr) == (73, "zgateway: there is no user nobody\n")
