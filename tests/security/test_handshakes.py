"""Who is let in, and what those are told who are not: at once, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zjobs.client import Client, errors
from zjobs.client.net.reach import mechanism
from zjobs.program import keyfiles, zap

if TYPE_CHECKING:
    from tests.conftest import Service

# Long: whoever waited for it would not be told apart in a test's time, and fails by the limit of a test.
TIMEOUT = ("--timeout", "10m")


def forged(keyed: Any, name: str, **fields: str) -> Path:
    """A copy of a key file with something else in it."""
    file: Path = keyed.files / "forged.key"
    keyfiles.save(file, keyfiles.load(keyed.file(name))._replace(**fields), "forged")
    return file


def pair() -> tuple[str, str]:
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


@pytest.fixture(params=["ipc", "tcp"])
def running(request: pytest.FixtureRequest, new_service: Callable[..., Service], keyed: Any) -> Any:
    """A broker with keys and one client, over each transport."""
    if request.param == "tcp":
        keyed.service.listen = "tcp://127.0.0.1:*"
    keyed.add("alice", "submitter")
    keyed.start(worker=False)
    return keyed


def test_an_admitted_key(running: Any) -> None:
    """Requests and events go through, by the option, the variable, and the user's own file."""
    by_option = running.zclient("alice", "list")
    assert (by_option.returncode, by_option.stderr) == (0, "")
    after = running.service.zclient("list", "--key", str(running.file("alice")))
    assert after.returncode == 0
    running.service.env["ZJOBS_KEY"] = str(running.file("alice"))
    assert running.service.zclient("list").returncode == 0
    del running.service.env["ZJOBS_KEY"]
    own = Path(running.service.env["XDG_CONFIG_HOME"]) / "zjobs/client.key"
    own.parent.mkdir(parents=True)
    running.file("alice").rename(own)
    assert running.service.zclient("list").returncode == 0
    assert running.service.zclient("--key", "", "list").returncode == 5


def test_an_unknown_key(running: Any) -> None:
    """The broker does not admit it, and says so."""
    public, secret = pair()
    file = forged(running, "alice", public=public, secret=secret)
    ended = running.service.zclient("--key", str(file), *TIMEOUT, "list")
    assert (ended.returncode, ended.stderr) == (
        5,
        f"zclient: key refused by {running.service.endpoint}: ask the operator of the broker for a new one\n",
    )
    with Client(running.service.endpoint, 600, key=file) as client, pytest.raises(errors.KeyRefused) as caught:
        client.info()
    assert caught.value.code == "key_refused" and isinstance(caught.value, errors.NotPermitted)


def test_somebody_elses_public_key(running: Any) -> None:
    """A public key without its secret half is worth nothing."""
    _, secret = pair()
    file = forged(running, "alice", secret=secret)
    ended = running.service.zclient("--key", str(file), *TIMEOUT, "list")
    assert ended.returncode == 5 and "key" in ended.stderr


def test_a_wrong_server_key(running: Any) -> None:
    """Who answers is not whom the file names: not talked to."""
    file = forged(running, "alice", server=pair()[0])
    ended = running.service.zclient("--key", str(file), *TIMEOUT, "list")
    sentence = f"zclient: {running.service.endpoint} does not have the key that {file} names\n"
    assert (ended.returncode, ended.stderr) == (5, sentence)
    with Client(running.service.endpoint, 600, key=file) as client, pytest.raises(errors.UntrustedBroker):
        client.watch()


def test_no_key(running: Any) -> None:
    """A broker with keys wants one."""
    ended = running.service.zclient(*TIMEOUT, "list")
    sentence = f"zclient: {running.service.endpoint} wants a key: name your key file with --key FILE\n"
    assert (ended.returncode, ended.stderr) == (5, sentence)
    with Client(running.service.endpoint, 600, key="") as client, pytest.raises(errors.KeyNeeded):
        client.info()


def test_a_key_for_a_broker_without(keyed: Any) -> None:
    """It is not shown to whoever happens to answer, again and again: who hangs up first differs from run to run."""
    keyed.add("alice", "submitter")
    keyed.service.start_broker()
    for _ in range(5):
        ended = keyed.zclient("alice", *TIMEOUT, "list")
        assert ended.returncode == 5
        assert f"{keyed.service.endpoint} uses no keys, but {keyed.file('alice')} names one" in ended.stderr
    assert keyed.service.zclient("list").returncode == 0


def test_a_broker_that_is_not_there_yet(keyed: Any) -> None:
    """With a key as without: it is waited for, and a broker that begins meanwhile is found."""
    keyed.add("alice", "submitter")
    keyed.start(worker=False)
    client = keyed.client("alice")
    assert client.hello().journal
    keyed.service.broker.kill()
    with pytest.raises(errors.BrokerUnreachable):
        client.connection.request(b"", 0.3)
    keyed.start(worker=False)
    assert client.hello().journal


def test_what_is_no_key_file(keyed: Any, tmp_path: Path) -> None:
    """Wrong usage, with a sentence, before anything is connected: absent, damaged, readable by others, a link."""
    good = keyed.add("alice", "submitter")
    damaged, loose, link = tmp_path / "damaged", tmp_path / "loose", tmp_path / "link"
    damaged.write_text("name: alice\n")
    damaged.chmod(0o600)
    loose.write_text(good.read_text())
    loose.chmod(0o640)
    link.symlink_to(good)
    for file, word in ((damaged, "not a key file"), (loose, "chmod 600"), (link, "is a link"), ("/no", "No such")):
        ended = keyed.service.zclient("--key", str(file), "list")
        assert ended.returncode == 2 and word in ended.stderr, ended
        with pytest.raises(errors.BadKeyFile, match=word):
            Client(key=file)


# --- the worker ------------------------------------------------------------------------------------------------


def test_the_worker_takes_jobs_from_its_broker_alone(keyed: Any) -> None:
    """Another key, even one that the broker admits, gets no heartbeat and brings no job; the log says so, once."""
    keyed.add("alice", "operator")
    keyed.start()
    service = keyed.service
    worker = keyfiles.load(keyed.keys / "worker.key")
    own = keyfiles.load(keyed.file("alice"))
    for kind, endpoint in ((zmq.SUB, service.reports), (zmq.PUSH, service.pipe)):
        with service.context.socket(kind) as socket:
            zap.call_with(socket, own.public, own.secret, worker.public)
            socket.linger = 0
            monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH)
            socket.connect(endpoint)
            assert monitor.poll(20_000)
            assert int.from_bytes(monitor.recv_multipart()[0][:2], "little") == zmq.EVENT_HANDSHAKE_FAILED_AUTH
            socket.disable_monitor()
            monitor.close()
    assert mechanism(service.pipe) == mechanism(service.reports) == "CURVE"
    assert service.worker.log.count("refused") == 1, service.worker.log
    assert keyed.client("boss").submit("reverse", "example").result(20) == "elpmaxe"


def test_a_new_pair_for_the_worker(keyed: Any) -> None:
    """The worker with the old one gets nothing from a broker that was started since; with the new one it does."""
    old = keyed.keys / "old.key"
    (keyed.keys / "worker.key").rename(old)
    keyed.manage("worker")
    keyed.add("boss", "operator")
    keyed.service.start_broker("--keys", str(keyed.keys))
    keyed.service.start_worker("--key", str(old))
    job = keyed.client("boss").submit("reverse", "example")
    assert keyed.client("boss").info().worker.state == "absent"
    keyed.service.worker.signal(15)
    assert keyed.service.worker.ended() == 0
    keyed.service.start_worker("--key", str(keyed.keys / "worker.key"))
    assert job.result(20) == "elpmaxe"


# --- addresses that others can reach -----------------------------------------------------------------------------


@pytest.mark.parametrize("package", ["broker", "worker"])
@pytest.mark.parametrize("host", ["0.0.0.0", "*", "192.0.2.1", "[::]", "example.com"])
def test_an_open_address_needs_keys(package: str, host: str, new_service: Callable[..., Service]) -> None:
    """Refused before anything is bound, with the two ways out."""
    option = {"broker": "--listen", "worker": "--pipe"}[package]
    ended = new_service().run(package, option, f"tcp://{host}:5570")
    assert ended.returncode == 78, ended
    assert "by anybody" in ended.stderr and "zbroker keys init" in ended.stderr and "--insecure" in ended.stderr


@pytest.mark.parametrize("package", ["broker", "worker"])
def test_the_second_address_counts_too(package: str, new_service: Callable[..., Service]) -> None:
    """Not only the one that the program is called by."""
    option = {"broker": "--events", "worker": "--reports"}[package]
    ended = new_service().run(package, option, "tcp://0.0.0.0:5599")
    assert ended.returncode == 78 and "tcp://0.0.0.0:5599" in ended.stderr


def test_insecure_on_purpose(new_service: Callable[..., Service]) -> None:
    """Whoever wants that can have it."""
    service = new_service("tcp://0.0.0.0:*")
    service.start_broker("--insecure", journal=":memory:")
    port = service.endpoint.rpartition(":")[2]
    ended = service.zclient("--broker", f"tcp://127.0.0.1:{port}", "list")
    assert ended.returncode == 0, ended


def test_a_worker_does_not_start_with_a_key_that_others_can_read(keyed: Any) -> None:
    """Nor does a broker; both say how to mend it."""
    for package, words in (("worker", ("--key", "worker.key")), ("broker", ("--keys", "."))):
        file = keyed.keys / f"{package}.key"
        file.chmod(0o644)
        ended = keyed.service.run(package, *(str(keyed.keys / w) if w[0] != "-" else w for w in words))
        assert ended.returncode == 78 and f"chmod 600 {file}" in ended.stderr, ended
