"""zgateway as it runs, before a broker and a worker, and who asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from tests.conftest import Program, Service

PASSWORD = "correct horse battery"


class Client(httpx.Client):
    """Somebody who asks; paths begin behind the name of the service."""

    def __init__(self, at: str) -> None:
        self.api = f"http://{at}/api/v1"
        super().__init__(base_url=f"{self.api}/services/default/", timeout=30)

    def log_in(self, name: str, password: str = PASSWORD) -> None:
        """Ask as this user from now on."""
        told = self.post(f"{self.api}/auth/token", data={"username": name, "password": password})
        assert told.status_code == 200, told.text
        self.headers["Authorization"] = f"Bearer {told.json()['access_token']}"

    def status(self, method: str, path: str, **how: Any) -> int:
        """The status of an answer, whose body may have no end."""
        with self.stream(method, path, **how) as answered:
            return answered.status_code

    def submit(self, type: str, data: Any, **more: Any) -> int:
        """Queue a job; its id."""
        answered = self.post("jobs", json={"type": type, "data": data, **more})
        assert answered.status_code == 201, answered.text
        return int(answered.json()["first_id"])

    def ended(self, job_id: int) -> httpx.Response:
        """The result, once the job has ended."""
        return self.get(f"jobs/{job_id}/result", params={"wait": 30})


class Gateway:
    """A zgateway before a service. It can be killed and started again at the same place."""

    def __init__(self, service: Service, *options: str) -> None:
        self.service = service
        self.options = options
        self.at = "127.0.0.1:*"
        self.clients: list[Client] = []
        service.env["ZGATEWAY_ADMIN_PASSWORD"] = PASSWORD
        service.env["XDG_CONFIG_HOME"] = str(service.place / "config")
        self.program: Program
        self.start()
        self.admin = self.client("admin")

    def start(self, *options: str) -> None:
        """Start it (again)."""
        self.program = self.service.start("gateway", "--listen", self.at, *self.options, *options)
        (url,) = self.program.ready()
        self.at = url.removeprefix("http://")

    def visitor(self) -> Client:
        """Somebody who has not logged in."""
        self.clients.append(Client(self.at))
        return self.clients[-1]

    def client(self, name: str) -> Client:
        """A user, logged in."""
        client = self.visitor()
        client.log_in(name)
        return client

    def user(self, name: str, role: str, **more: Any) -> Client:
        """A new user, logged in."""
        made = self.admin.post(
            f"{self.admin.api}/users", json={"name": name, "role": role, "password": PASSWORD, **more}
        )
        assert made.status_code == 201, made.text
        return self.client(name)

    def close(self) -> None:
        """End the connections."""
        for client in self.clients:
            client.close()
