"""Named services: what config.toml may say, which service is chosen, and what zclient shows of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zjobs.client import AsyncClient, BadConfig, BadKeyFile, Client
from zjobs.messages.records import Paused

LASER, MILL, ELSEWHERE = "tcp://127.0.0.1:7001", "tcp://127.0.0.1:7002", "tcp://127.0.0.1:7003"
TWO = f"""
default = "laser"

[services.laser]
broker = "{LASER}"
key = ""

[services.mill]
broker = "127.0.0.1:7002"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes config.toml in a configuration of its own; nothing else tells where a broker is."""
    for name in ("ZJOBS_BROKER", "ZJOBS_KEY", "ZJOBS_SERVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "zjobs").mkdir()

    def write(text: str) -> Path:
        file = tmp_path / "zjobs/config.toml"
        file.write_text(text)
        return file

    return write


def test_the_order_of_brokers(config: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Argument, service by argument, ZJOBS_BROKER, ZJOBS_SERVICE, the file's default, the default address."""
    assert Client().address == "tcp://127.0.0.1:5570"
    config(TWO)
    assert Client().address == LASER
    monkeypatch.setenv("ZJOBS_SERVICE", "mill")
    assert Client().address == MILL
    monkeypatch.setenv("ZJOBS_BROKER", ELSEWHERE)
    assert Client().address == ELSEWHERE
    assert Client(service="mill").address == AsyncClient(service="mill").address == MILL
    assert Client("tcp://127.0.0.1:7004", service="mill").address == "tcp://127.0.0.1:7004"


def test_the_order_of_keys(config: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Argument, service by argument, ZJOBS_KEY, the service chosen otherwise, client.key."""

    def used(**given: Any) -> str:
        with pytest.raises(BadKeyFile) as caught:  # none of these files can be read, which tells its name
            Client(**given)
        return str(caught.value).split()[3]

    folder = tmp_path / "zjobs"
    (folder / "client.key").touch(0o644)
    config(TWO.replace('key = ""', 'key = "laser.key"'))
    assert used() == used(service="laser") == f"{folder}/laser.key"
    assert used(service="mill") == used(broker=ELSEWHERE) == f"{folder}/client.key"
    monkeypatch.setenv("ZJOBS_KEY", "/env.key")
    assert used() == used(service="mill") == "/env.key"
    assert used(service="laser") == f"{folder}/laser.key"
    assert used(service="laser", key="/own.key") == "/own.key"
    config(TWO)
    assert Client(service="laser").key is None


def test_a_list_of_brokers(config: Callable[[str], Path]) -> None:
    """A service may have several addresses, in the order in which they are tried."""
    config(TWO.replace(f'"{LASER}"', f'["{LASER}", "127.0.0.1:7003"]'))
    assert Client(service="laser").addresses.every == (LASER, ELSEWHERE)


MISTAKES = [
    ('default = "laser"', "config.toml: default: there is no [services.laser]"),
    ("default = laser", "config.toml is not TOML: Invalid value (at line 1, column 11)"),
    ("default = 1", "config.toml: default: it must be the name of a service"),
    ("defualt = 1", "config.toml: defualt: there is no such field; there are default and services"),
    ("services = 1", "config.toml: services: it must be tables such as [services.laser]"),
    ("services.laser = 1", "config.toml: services.laser: it must be a table: [services.laser], and broker ="),
    ("[services.laser]", "config.toml: services.laser.broker: it is missing; write broker = "),
    ('[services.laser]\nbroker = ["x"]', "config.toml: services.laser.broker: 'x' is not an endpoint such as"),
    ("[services.laser]\nbroker = []", "config.toml: services.laser.broker: '' is not an endpoint such as"),
    ("[services.laser]\nbroker = [1]", "config.toml: services.laser.broker: it must be an address, as in "),
    ('[services.laser]\nbroker = "laser"', "config.toml: services.laser.broker: 'laser' is not an endpoint such as"),
    ('[services.laser]\nbroker = "a:1"\nkey = 1', "config.toml: services.laser.key: it must be the path of a key file"),
    ('[services.laser]\nbrokre = "a:1"', "services.laser.brokre: there is no such field; there are broker and key"),
]


@pytest.mark.parametrize(("text", "sentence"), MISTAKES, ids=[text for text, _ in MISTAKES])
def test_mistakes(config: Callable[[str], Path], run: Any, text: str, sentence: str) -> None:
    """A sentence that names the line or the field, from the library and from zclient; the latter with exit code 2."""
    config(text)
    with pytest.raises(BadConfig) as caught:
        Client(service="mill")
    assert sentence in str(caught.value)
    ran = run("--service", "mill", "info")
    assert (ran.code, ran.out) == (2, "") and sentence in ran.err
    Client(ELSEWHERE)  # which needs no file


def test_a_file_that_cannot_be_read(config: Callable[[str], Path]) -> None:
    """Neither a folder nor other than UTF-8."""
    file = config("")
    file.write_bytes(b"\xff")
    with pytest.raises(BadConfig, match=r"config\.toml is not UTF-8 text \(byte 0\)"):
        Client()
    file.unlink()
    file.mkdir()
    with pytest.raises(BadConfig, match=r"config\.toml cannot be read: Is a directory"):
        Client()


def test_an_unknown_service(config: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence has the services that there are, or says how to name one."""
    with pytest.raises(BadConfig, match=r"config\.toml does not exist; name it there: \[services.lens\]"):
        Client(service="lens")
    config(TWO)
    monkeypatch.setenv("ZJOBS_SERVICE", "lens")
    with pytest.raises(BadConfig, match=r"config\.toml has no service lens; it has laser, mill"):
        Client()
    config("")
    with pytest.raises(BadConfig, match="it has none"):
        Client()


def test_zclient_takes_a_service(config: Callable[[str], Path], run: Any, broker: Any) -> None:
    """--service leads there, whatever ZJOBS_BROKER says, and stands in the commands that zclient names."""
    config(TWO.replace(LASER, broker.address))
    broker.add(9)
    ran = run("--service", "laser", "forget", "9", "--broker", broker.address)
    assert ran.err.endswith(f"zclient --service laser --broker {broker.address} cancel 9 ends it\n")
    ran = run("--service", "mill", "--timeout", "0.1", "info")
    assert ran.code == 69 and MILL in ran.err


def test_services(config: Callable[[str], Path], run: Any, broker: Any) -> None:
    """A line for each: the default is marked, the state of what answers, why another does not."""
    broker.paused = Paused(1, "lens cap")
    config(TWO.replace(LASER, broker.address))
    ran = run("services", "--timeout", "1")
    assert (ran.code, ran.err) == (69, "")
    assert ran.out.splitlines() == [
        f"laser* {broker.address}  paused: lens cap, worker ready, job 17 runs, 1 queued, 5 waiting",
        f"mill   {MILL:{len(broker.address)}}  no answer (nothing listens there)",
    ]
    laser, mill = map(json.loads, run("services", "--timeout", "1", "--json").out.splitlines())
    assert (laser["service"], laser["default"], laser["broker"]) == ("laser", True, broker.address)
    assert laser["info"]["paused"]["reason"] == "lens cap" and "error" not in laser
    assert (mill["service"], mill["default"], mill["error"]["code"]) == ("mill", False, "unreachable")
    config(TWO.partition("[services.mill]")[0].replace(LASER, broker.address))
    assert run("services").code == 0


def test_services_at_once(config: Callable[[str], Path], run: Any, broker: Any) -> None:
    """All are asked at the same time: that one waits delays no other."""
    addresses = [broker.address] * 3
    asked: list[Any] = []
    usual = broker.answer

    def when_all_have_asked(request: Any) -> Any:
        asked.append(request)
        return usual(request) if len(asked) >= len(addresses) else None

    broker.script = [when_all_have_asked] * 3
    config("\n".join(f'[services.s{n}]\nbroker = "{address}"' for n, address in enumerate(addresses)))
    ran = run("services", "--timeout", "1.9")
    assert ran.code == 0 and len(ran.out.splitlines()) == 3


def test_no_services(config: Callable[[str], Path], run: Any) -> None:
    """Without any, zclient says where to name them."""
    assert run("services").err.startswith("zclient: no services are named in /")
    config("")
    assert run("services").code == 0


def test_a_start_without_the_file_reads_no_toml(config: Callable[[str], Path], broker: Any) -> None:
    """The parser costs milliseconds; most users have no such file."""
    code = (
        "import sys; from zjobs.client.__main__ import main; main(sys.argv[1:]);"
        "print({'tomllib', 'tomli', 'asyncio'} & sys.modules.keys())"
    )
    argv = [sys.executable, "-c", code, "--broker", broker.address, "submit", "reverse", "x"]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "1\nset()\n"
