"""Keys that come and go while the broker runs."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest

from zjobs.broker import credentials as broker_keys
from zjobs.broker.credentials import Credentials, KeysError
from zjobs.client import errors
from zjobs.messages.states import Role
from zjobs.program import keyfiles

STREAMS_END_S = 2.0


# --- the files ---------------------------------------------------------------------------------------------------


def test_what_init_makes(keyed: Any) -> None:
    """Secret halves for their owner alone; nobody is admitted yet; done once."""
    for path in (keyed.keys, keyed.keys / "clients"):
        assert path.stat().st_mode & 0o777 == 0o700
    for name in ("broker", "worker"):
        assert (keyed.keys / f"{name}.key").stat().st_mode & 0o777 == 0o600
    broker, worker = (keyfiles.load(keyed.keys / f"{name}.key") for name in ("broker", "worker"))
    assert (broker.server, worker.server) == (worker.public, broker.public)
    assert keyed.manage("list") == "\n"
    ended = keyed.service.run("broker", "keys", "init", "--keys", str(keyed.keys))
    assert ended.returncode == 78 and "has keys already" in ended.stderr


def test_add_list_and_revoke(keyed: Any) -> None:
    """A name is given once at a time; the secret half is in the file that is handed over, and nowhere else."""
    file = keyed.add("alice", "submitter")
    assert file.stat().st_mode & 0o777 == 0o600
    alice = keyfiles.load(file)
    assert keyed.manage("list") == f"alice  submitter  {alice.public}\n"
    kept = [path for path in keyed.keys.rglob("*") if path.is_file() and alice.secret in path.read_text()]
    assert kept == []
    with pytest.raises(KeysError, match="already"):
        broker_keys.add(keyed.keys, "alice", Role.VIEWER, keyed.files / "second.key")
    keyed.manage("revoke", "alice")
    assert keyed.manage("list") == "\n"
    with pytest.raises(KeysError, match="no key named"):
        broker_keys.revoke(keyed.keys, "alice")


def test_another_role_for_the_same_key(keyed: Any) -> None:
    """Its file stays as it is; a name without a key and a word that is no role are refused, and change nothing."""
    alice = keyfiles.load(keyed.add("alice", "submitter"))
    assert keyed.manage("role", "alice", "member") == "alice is a member from now on\n"
    assert keyed.manage("list") == f"alice  member  {alice.public}\n"
    assert (
        keyed.manage("role", "alice", "member", "--acts-for")
        == "alice is a member from now on and may act for others\n"
    )
    assert keyed.manage("list") == f"alice  member  {alice.public}  acts for others\n"
    keyed.manage("role", "alice", "member")
    for words, code, why in ((("bob", "viewer"), 78, "no key named bob"), (("alice", "king"), 64, "is not one of")):
        ended = keyed.service.run("broker", "keys", "role", *words, "--keys", str(keyed.keys))
        assert ended.returncode == code and why in ended.stderr, ended
    assert keyed.manage("list") == f"alice  member  {alice.public}\n"


def test_the_log_of_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When, who and what, a line each, for nobody else to read; what was refused is not in it."""
    keys = tmp_path / "keys"
    monkeypatch.delenv("SUDO_USER", raising=False)
    broker_keys.init(keys)
    broker_keys.add(keys, "alice", Role.MEMBER, tmp_path / "alice.key")
    monkeypatch.setenv("SUDO_USER", "anna")
    broker_keys.change_role(keys, "alice", Role.OPERATOR, acts_for=True)
    broker_keys.renew_worker(keys)
    broker_keys.revoke(keys, "alice")
    with pytest.raises(KeysError):
        broker_keys.revoke(keys, "alice")
    log = keys / "changes.log"
    assert log.stat().st_mode & 0o777 == 0o600
    times, users, changes = zip(*(line.split("  ") for line in log.read_text().splitlines()))
    assert changes == ("init", "add alice member", "role alice operator acts-for", "worker", "revoke alice")
    assert users[2:] == (f"anna as {users[0]}",) * 3 and users[0] == users[1]
    assert list(times) == sorted(times) and all(re.fullmatch(r"[\d-]{10} [\d:]{8}[+-]\d{4}", at) for at in times)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "-x", "a b", "\x1b[31m", "ä", "x" * 129])
def test_names_that_are_none(keyed: Any, name: str) -> None:
    """A name is a file's name and stands in logs and tables: nothing that could act in either."""
    with pytest.raises(KeysError, match="is not a name"):
        broker_keys.add(keyed.keys, name, Role.VIEWER, keyed.files / "x.key")
    with pytest.raises(KeysError, match="no key named"):
        broker_keys.revoke(keyed.keys, name)
    with pytest.raises(KeysError, match="no key named"):
        broker_keys.change_role(keyed.keys, name, Role.VIEWER)
    assert list(keyed.files.iterdir()) == []


def test_a_key_file_that_is_there_is_left_alone(keyed: Any) -> None:
    """Nothing is overwritten, and nobody admitted for it."""
    (keyed.files / "alice.key").write_text("mine")
    ended = keyed.service.run(
        "broker", "keys", "add", "alice", "--role", "viewer", "--out", f"{keyed.files}/alice.key", "--keys", keyed.keys
    )
    assert ended.returncode == 73 and "exists" in ended.stderr, ended
    assert (keyed.files / "alice.key").read_text() == "mine" and keyed.manage("list") == "\n"


@pytest.mark.parametrize("place", [".", "clients"])
def test_a_folder_that_others_may_write_into(keyed: Any, place: str) -> None:
    """Whoever may put a file there could admit themselves: refused at the start."""
    (keyed.keys / place).chmod(0o770)
    ended = keyed.service.run("broker", "--keys", str(keyed.keys))
    assert ended.returncode == 78 and "other users may write" in ended.stderr, ended


def test_changes_within_one_tick_of_the_clock(keyed: Any) -> None:
    """A folder's time says nothing of a second change in the same instant: it is seen all the same."""
    ring = Credentials(keyed.keys)
    for number in range(50):
        broker_keys.add(keyed.keys, "alice", Role.VIEWER, keyed.files / f"{number}.key")
        public = keyfiles.load(keyed.files / f"{number}.key").public
        ring.refresh()
        assert ring.who(public) is not None
        broker_keys.revoke(keyed.keys, "alice")
        assert ring.pop_changed() and ring.who(public) is None


def test_what_else_lies_in_the_folder(keyed: Any) -> None:
    """Folders, half files and what is no key admit nobody, and keep nobody out."""
    keyed.add("alice", "viewer")
    clients = keyed.keys / "clients"
    (clients / "folder").mkdir()
    (clients / "half").write_text("role: operator\n")
    (clients / "odd").write_text("role: king\npublic: " + "a" * 40)
    (clients / ".alice").write_text("role: operator\npublic: " + "a" * 40)
    (clients / "binary").write_bytes(b"\xff\x00\n")
    assert [client.name for client in broker_keys.clients(keyed.keys)] == ["alice"]


def test_the_folder_is_gone(keyed: Any) -> None:
    """Then nobody is admitted any more; the broker goes on."""
    ring = Credentials(keyed.keys)
    public = keyfiles.load(keyed.add("alice", "viewer")).public
    ring.refresh()
    assert ring.who(public)
    (keyed.keys / "clients").rename(keyed.keys / "away")
    assert ring.pop_changed() and ring.who(public) is None


# --- a running broker ------------------------------------------------------------------------------------------------


def test_a_key_that_is_added_while_the_broker_runs(keyed: Any) -> None:
    """Admitted without a restart, at the first try."""
    keyed.start(worker=False)
    keyed.add("alice", "submitter")
    assert keyed.client("alice").submit("reverse", "x").status().owner == "alice"


def test_a_name_that_is_given_again(keyed: Any) -> None:
    """The old file stays refused; the new one has the name, and the jobs that go with it."""
    old = keyed.add("alice", "submitter").rename(keyed.files / "old.key")
    keyed.start(worker=False)
    job = keyed.client("old").submit("reverse", "x")
    keyed.manage("revoke", "alice")
    keyed.add("alice", "submitter")
    assert keyed.client("alice").status([job.id]).jobs[0].owner == "alice"
    ended = keyed.service.zclient("--key", str(old), "list")
    assert ended.returncode == 5 and "key refused" in ended.stderr


class Follower(threading.Thread):
    """Watches a job until that ends, one way or another."""

    def __init__(self, watching: Any) -> None:
        super().__init__()
        self._watching = watching
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            for _ in self._watching:
                pass
        except Exception as error:
            self.error = error


def test_revocation(keyed: Any) -> None:
    """Requests of a client that is connected are refused at once and its streams end; others miss nothing."""
    for name, role in (("alice", "submitter"), ("bob", "submitter"), ("eve", "viewer")):
        keyed.add(name, role)
    keyed.start()
    alice, bob, eve = keyed.client("alice"), keyed.client("bob"), keyed.client("eve")
    of_all = eve.watch()
    jobs = {name: client.submit("once_gate", {"name": "g"}) for name, client in (("alice", alice), ("bob", bob))}
    revoked = Follower(alice.watch([jobs["alice"].id]))
    honest = Follower(bob.watch([jobs["bob"].id]))
    # a client of its own: the one that follows may use its connection, and a new one would not be admitted
    connected = keyed.client("alice")
    connected.info()
    keyed.manage("revoke", "alice")
    with pytest.raises(errors.NotPermitted, match="this key was revoked"):
        connected.info()
    revoked.join(60)
    assert isinstance(revoked.error, errors.NotPermitted), revoked.error
    late = bob.submit("reverse", "late")
    keyed.service.open_gate("g")
    honest.join(60)
    assert honest.error is None and not honest.is_alive()
    assert late.wait(20).state == "completed"
    while not all(job.id in of_all.jobs and of_all.jobs[job.id].state.final for job in (*jobs.values(), late)):
        assert of_all.next(20) is not None
    of_all.close()


def test_a_connection_for_events_that_is_refused_while_nobody_watches(keyed: Any) -> None:
    """It is not used again, is closed, and does not keep the client from ending."""
    keyed.add("alice", "submitter")
    keyed.start()
    client = keyed.client("alice")
    events = client.hello().events
    feed = client.connection.feed(events, shared=True)
    keyed.service.until(feed.is_sound, "the connection stands")
    feed.close()
    keyed.manage("revoke", "alice")
    another = client.connection.feed(events, shared=False)
    with pytest.raises(errors.NotPermitted):
        while True:
            another.read(20)
    another.close()
    keyed.service.until(lambda: not feed.is_sound(), "the stream ended")
    third = client.connection.feed(events, shared=True)
    third.close()
    assert third is not feed
    client.close()


def test_a_role_that_changes_while_the_broker_runs(keyed: Any, ask: Any) -> None:
    """The next request has it, a stream that it forbids ends, and a request that waits is judged by it in the end."""
    keyed.add("alice", "operator")
    keyed.add("bob", "submitter")
    keyed.start()
    alice, bob = keyed.client("alice"), keyed.client("bob")
    job = bob.submit("once_gate", {"name": "g"})
    stream = alice.watch([job.id])
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            job_of_bob.result(60)
        except errors.ZjobsError as error:
            raised.append(error)

    job_of_bob = alice.job(job.id)
    waiting = threading.Thread(target=wait)
    waiting.start()
    assert ask(alice, "log", id=job.id)["op"] == "log"
    keyed.manage("role", "alice", "submitter")
    assert ask(alice, "log", id=job.id)["code"] == "not_permitted"
    with stream, pytest.raises(errors.NotPermitted):
        while stream.next(60) is not None:
            pass
    keyed.service.open_gate("g")
    waiting.join(60)
    assert len(raised) == 1 and isinstance(raised[0], errors.NotPermitted)
    keyed.manage("role", "alice", "member")
    assert ask(alice, "status", ids=[job.id])["op"] == "status"


def test_a_stream_without_requests_ends(keyed: Any) -> None:
    """Somebody with a socket of their own, who asks nothing and only listens, hears nothing more either."""
    import zmq

    from zjobs.program import zap

    own = keyfiles.load(keyed.add("eve", "viewer"))
    keyed.add("bob", "submitter")
    keyed.start()
    events = keyed.client("eve").hello().events
    with keyed.service.context.socket(zmq.SUB) as socket:
        zap.call_with(socket, own.public, own.secret, own.server)
        socket.linger, socket.rcvtimeo = 0, 20_000
        monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        socket.connect(events)
        socket.subscribe(b"jobs.")
        socket.recv_multipart()
        keyed.manage("revoke", "eve")
        seen = set()
        while zmq.EVENT_HANDSHAKE_FAILED_AUTH not in seen:
            assert monitor.poll(20_000), seen
            seen.add(int.from_bytes(monitor.recv_multipart()[0][:2], "little"))
        assert zmq.EVENT_DISCONNECTED in seen
        assert keyed.client("bob").submit("reverse", "x").result(20) == "x"
        assert not socket.poll(0)
        socket.disable_monitor()
        monitor.close()


def test_the_broker_looks_often_enough() -> None:
    """An idle broker looks for changes well within the time in which streams have to end."""
    from zjobs.broker import service

    assert service.KEYS_EVERY_MS / 1000 <= STREAMS_END_S / 2


def test_a_backup_of_a_running_broker(keyed: Any, tmp_path: Path) -> None:
    """With the broker's own keys; without them a sentence says so."""
    keyed.add("alice", "submitter")
    keyed.start(worker=False)
    keyed.client("alice").submit("reverse", "x")
    journal, copy = keyed.service.journal, tmp_path / "copy.db"
    without = keyed.service.run("broker", "backup", journal, str(copy))
    assert without.returncode == 75 and "--keys DIR" in without.stderr and not copy.exists(), without
    ended = keyed.service.run("broker", "backup", journal, str(copy), "--keys", str(keyed.keys))
    assert ended.returncode == 0, ended
    assert copy.stat().st_mode & 0o777 == 0o600 and Path(journal).stat().st_mode & 0o077 == 0
    checked = keyed.service.run("broker", "check", str(copy))
    assert "1 ids given" in checked.stdout, checked


# --- who waits -----------------------------------------------------------------------------------------------------


def test_whoever_waits_with_a_revoked_key_hears_of_it(keyed: Any, until: Any) -> None:
    """At once, and not when the wait would have been over."""
    for name, role in (("boss", "operator"), ("alice", "submitter")):
        keyed.add(name, role)
    keyed.start(worker=False)
    job = keyed.client("alice").submit("reverse", "x")
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            job.result()
        except errors.ZjobsError as error:
            raised.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    keyed.manage("revoke", "alice")
    until(lambda: raised, "the wait ends", lambda: "")
    waiting.join()
    assert isinstance(raised[0], errors.NotPermitted)


def test_a_submitter_waits_for_its_own_jobs_alone(keyed: Any, ask: Any) -> None:
    """A viewer may wait for all of them, and is not told their results."""
    for name, role in (("alice", "submitter"), ("bob", "submitter"), ("eve", "viewer")):
        keyed.add(name, role)
    keyed.start()
    alice, bob, eve = (keyed.client(name) for name in ("alice", "bob", "eve"))
    job = alice.submit("reverse", "x")
    assert job.result(timeout=20) == "x"
    mine = ask(alice, "wait", ids=[job.id], wait_ms=1, results=True)
    assert [result["id"] for result in mine["results"]] == [job.id]
    assert ask(bob, "wait", ids=[job.id], wait_ms=1)["code"] == "not_permitted"
    seen = ask(eve, "wait", ids=[job.id], wait_ms=1, results=True)
    assert [each["id"] for each in seen["jobs"]] == [job.id] and seen["results"] == []
    assert ask(eve, "result", id=job.id, wait_ms=1)["code"] == "not_permitted"
