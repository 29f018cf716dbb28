"""The command line of zgateway, and which services it offers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from zjobs.client.errors import BadConfig
from zjobs.gateway import cli
from zjobs.gateway.config import Config
from zjobs.gateway.problems import Problem
from zjobs.gateway.services import Services
from zjobs.gateway.usage import CANNOT_CREATE, REFUSED, USAGE_ERROR, address


@pytest.mark.parametrize(
    ("text", "meant"),
    [("127.0.0.1:8080", ("127.0.0.1", 8080)), ("[::1]:80", ("::1", 80)), ("localhost:*", ("localhost", 0))],
)
def test_an_address(text: str, meant: tuple[str, int]) -> None:
    """A host and a port, or any free port."""
    assert address(text) == meant


@pytest.mark.parametrize("text", ["8080", "http://localhost:80", "localhost:0", "localhost:65536", "::1:80", ""])
def test_no_address(text: str) -> None:
    """Whatever is none is named."""
    with pytest.raises(ValueError, match=r"is not an address|a port is"):
        address(text)


def test_answers_leave_at_once() -> None:
    """Head and body are sent apart; the kernel must not keep the body until the client has confirmed the head."""
    with cli._listening(Config("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()[:2]):
            connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence, and the exit code of the help page."""
    assert cli.run(["--listen", "nowhere"]) == USAGE_ERROR
    assert "'nowhere' is not an address" in capsys.readouterr().err


def test_a_configuration_that_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It was named, so it must be there."""
    assert cli.run(["--listen", "127.0.0.1:*", "--config", str(tmp_path / "none.toml")]) == REFUSED
    assert "none.toml cannot be read" in capsys.readouterr().err


async def test_services_are_those_of_the_configuration(tmp_path: Path) -> None:
    """By their names, in its order; another name is unknown."""
    file = tmp_path / "config.toml"
    file.write_text('[services.laser]\nbroker="127.0.0.1:1"\nkey=""\n[services.mill]\nbroker="127.0.0.1:2"\nkey=""\n')
    services = Services(file)
    services.open()
    assert services.names == ["laser", "mill"]
    assert services.client("mill").address == "tcp://127.0.0.1:2"
    with pytest.raises(Problem) as raised:
        services.client("lathe")
    assert raised.value.status == 404
    await services.close()


async def test_each_person_asks_by_name_and_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept for one is used for nobody else, and not after the role has changed; it does not grow for ever."""
    monkeypatch.setattr("zjobs.gateway.services.MOST_VIEWS", 3)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    services = Services()
    services.open()
    people = [(name, role) for name in ("kim", "lee") for role in ("viewer", "operator")]
    for name, role in people * 2:
        view = services.acting_for("default", name, role)
        assert view.client.person is not None
        assert (view.client.person.name, view.client.person.role.value) == (name, role)
        assert services.acting_for("default", name, role) is view
        assert len(services._views) <= 3
    await services.close()


async def test_without_a_configuration_there_is_one_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker that zclient would ask."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("ZJOBS_BROKER", "tcp://127.0.0.1:7")
    services = Services()
    services.open()
    assert services.names == ["default"] and services.client("default").address == "tcp://127.0.0.1:7"
    await services.close()


def test_a_configuration_with_a_mistake(tmp_path: Path) -> None:
    """It is refused before anything starts."""
    file = tmp_path / "config.toml"
    file.write_text("[services.laser]\n")
    with pytest.raises(BadConfig, match="laser"):
        Services(file)


@pytest.mark.parametrize("url", ["mysql://me:secret@host/x", "postgresql://me:secret@127.0.0.1:1/x", "me:secret"])
def test_a_database_that_cannot_be_used(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, which does not have the password of the URL."""
    (tmp_path / "config.toml").touch()
    options = ("--listen", "127.0.0.1:*", "--config", str(tmp_path / "config.toml"))
    assert cli.run([*options, "--database", url]) == CANNOT_CREATE
    told = capsys.readouterr().err
    assert told.startswith("zgateway: ") and told.count("\n") == 1 and "secret" not in told
