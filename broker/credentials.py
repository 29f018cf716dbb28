"""The broker's directory of keys: its own pair, the worker's public key, and the keys of its clients.

    broker.key        the broker's pair, 0600; `server` in it is the worker's public key once there is one
    worker.key        the worker's pair, 0600: to be moved to the worker's host
    clients/NAME      a client's public key and role, and whether it acts for others; only the client's own file has
                      the secret half
    changes.log       a line for each change: when, who on this host, what

A client is identified by its public key, so a former holder of a name does not get in when somebody else gets that
name. Jobs belong to the name: a client that lost its key gets a new one under its old name, and has its jobs back.
"""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path
from typing import NamedTuple

import zmq

from zjobs.broker.core.people.who import Who
from zjobs.messages.fields import PERSON_NAME, is_person_name
from zjobs.messages.states import Role
from zjobs.program import keyfiles, lock
from zjobs.program.keyfiles import Credential, KeyFileError

# Changes within one tick of the file system's clock have the same time, so a recent change is read again.
TICK_NS = 50_000_000


class KeysError(Exception):
    """A failed operation on keys; the text is a sentence."""


class Client(NamedTuple):
    """A client that the broker admits. `acts_for`: it may send requests on behalf of others."""

    name: str
    role: Role
    public: str
    acts_for: bool = False


def init(directory: Path) -> str:
    """Make the directory with the broker's and the worker's keys. Return a sentence. Raises KeysError, OSError."""
    if (directory / "broker.key").exists():
        raise KeysError(f"{directory} has keys already; name another folder with --keys DIR")
    lock.make_private(directory)
    (directory / "clients").mkdir(mode=0o700, exist_ok=True)
    broker, worker = _pair(), _pair()
    keyfiles.save(
        directory / "broker.key", Credential("broker", *broker, worker[0]), "zjobs broker: never leaves this host"
    )
    _save_worker(directory, worker, broker[0])
    _record(directory, "init")
    return f"made keys in {directory}; move {directory / 'worker.key'} to the worker's host (zworker --key worker.key)"


def renew_worker(directory: Path) -> str:
    """Make a new pair for the worker. From its next start on, the broker refuses the old one."""
    broker = _broker(directory)
    worker = _pair()
    (directory / "worker.key").unlink(missing_ok=True)
    _save_worker(directory, worker, broker.public)
    renewed = directory / "broker.key.new"
    renewed.unlink(missing_ok=True)
    keyfiles.save(renewed, broker._replace(server=worker[0]), "zjobs broker: never leaves this host")
    renewed.rename(directory / "broker.key")
    _record(directory, "worker")
    return f"made {directory / 'worker.key'}: move it to the worker's host, then start worker and broker anew"


def add(directory: Path, name: str, role: Role, file: Path, acts_for: bool = False) -> str:
    """Admit a client: write its key file, and record its public half."""
    if not is_person_name(name):
        raise KeysError(f"{name!r} is not a name for a key: use {PERSON_NAME}")
    broker = _broker(directory)
    if (directory / "clients" / name).exists():
        raise KeysError(f"there is a key named {name} already: revoke it first")
    public, secret = _pair()
    comment = f"zjobs key of {name} ({role.value}). Whoever has this file is {name}: keep it to yourself."
    keyfiles.save(file, Credential(name, public, secret, broker.public), comment)
    _admit(directory, Client(name, role, public, acts_for))
    _record(directory, _told("add", name, role, acts_for))
    return f"{name} ({role.value}): hand over {file} and keep no copy"


def change_role(directory: Path, name: str, role: Role, acts_for: bool = False) -> str:
    """Give a client another role, and set whether it may act for others. Its key file stays valid, and a running broker
    notices by itself."""
    _broker(directory)
    client = _client(directory / "clients" / name) if is_person_name(name) else None
    if client is None:
        raise _no_key(name)
    _admit(directory, client._replace(role=role, acts_for=acts_for))
    _record(directory, _told("role", name, role, acts_for))
    return f"{name} is a {role.value} from now on" + (" and may act for others" if acts_for else "")


def revoke(directory: Path, name: str) -> str:
    """Refuse a client from now on. A running broker notices by itself."""
    _broker(directory)
    try:
        if not is_person_name(name):
            raise FileNotFoundError
        (directory / "clients" / name).unlink()
    except FileNotFoundError:
        raise _no_key(name) from None
    _record(directory, f"revoke {name}")
    return f"{name} is refused from now on"


def listed(directory: Path) -> str:
    """Return a line for each admitted client. Raises KeysError if there are no keys yet."""
    _broker(directory)
    return "\n".join(map(_line, clients(directory)))


def _line(client: Client) -> str:
    words = [client.name, client.role.value, client.public, *(["acts for others"] if client.acts_for else [])]
    return "  ".join(words)


def clients(directory: Path) -> list[Client]:
    """Return the admitted clients, sorted by name."""
    read = (_client(path) for path in sorted((directory / "clients").iterdir()) if is_person_name(path.name))
    return [client for client in read if client is not None]


def _client(path: Path) -> Client | None:
    """Read a client's file. Return None if it was revoked this instant, or is not such a file."""
    try:
        fields = keyfiles.parse(path.read_text(encoding="utf-8", errors="replace"))
        acts_for = fields.get("acts_for") == "yes"
        client = Client(path.name, Role(fields.get("role", "")), fields.get("public", ""), acts_for)
    except (FileNotFoundError, IsADirectoryError, PermissionError, ValueError):
        return None
    return client if keyfiles.is_key(client.public) else None


def _no_key(name: str) -> KeysError:
    return KeysError(f"there is no key named {name}; zbroker keys list shows all")


class Credentials:
    """The keys of a running broker. `worker`: the public key of its worker."""

    def __init__(self, directory: Path) -> None:
        """Read the keys. Raises KeysError, and OSError if others could put keys of their own there."""
        self._directory = directory
        pair = _broker(directory)
        lock.make_private(directory)
        lock.make_private(directory / "clients")
        self.public, self.secret, self.worker = pair.public, pair.secret, pair.server
        self._seen: int | None = None
        self._changed = False
        self._by_key: dict[str, Who] = {}
        self.refresh()

    def pop_changed(self) -> bool:
        """Return whether a key was revoked, or got another role, since the last call."""
        self.refresh()
        changed, self._changed = self._changed, False
        return changed

    def refresh(self) -> None:
        """Read what has changed in the directory."""
        try:
            changed_at = os.stat(self._directory / "clients").st_mtime_ns
            if changed_at == self._seen:
                return
            admitted = clients(self._directory)
        except FileNotFoundError:  # the folder is gone: nobody is admitted any more
            changed_at, admitted = 0, []
        except OSError:
            return  # no descriptor is left, or the like: that revokes nobody, and is tried again
        before = self._by_key
        self._by_key = {client.public: Who(client.name, client.role, client.acts_for) for client in admitted}
        self._by_key[self.public] = Who("broker", Role.OPERATOR)  # for `zbroker backup` on the broker's own host
        self._seen = changed_at if time.clock_gettime(time.CLOCK_REALTIME) * 1e9 - changed_at > TICK_NS else None
        self._changed = self._changed or any(self._by_key.get(key) != who for key, who in before.items())

    def who(self, public: str) -> Who | None:
        """Return the holder of this key, None if it is not admitted."""
        return self._by_key.get(public)


def _broker(directory: Path) -> Credential:
    try:
        return keyfiles.load(directory / "broker.key")
    except KeyFileError as error:
        if not (directory / "broker.key").exists():
            raise KeysError(f"there are no keys in {directory} yet: zbroker keys init makes them") from None
        raise KeysError(str(error)) from None


def _pair() -> tuple[str, str]:
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


def _save_worker(directory: Path, worker: tuple[str, str], broker: str) -> None:
    keyfiles.save(
        directory / "worker.key", Credential("worker", *worker, broker), "zjobs worker: belongs on its host alone"
    )


def _admit(directory: Path, client: Client) -> None:
    content = f"role: {client.role.value}\npublic: {client.public}\n" + ("acts_for: yes\n" if client.acts_for else "")
    _write_whole(directory / "clients" / client.name, content)


def _told(what: str, name: str, role: Role, acts_for: bool) -> str:
    return f"{what} {name} {role.value}" + (" acts-for" if acts_for else "")


def _record(directory: Path, change: str) -> None:
    """Add a line to the log of changes: when, who, what."""
    when = time.strftime("%Y-%m-%d %H:%M:%S%z")
    opened = os.open(directory / "changes.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(opened, "w", encoding="utf-8") as log:
        log.write(f"{when}  {_user()}  {change}\n")


def _user() -> str:
    """Return the user of this host, and who became that user by sudo: `anna as root`."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    before = os.environ.get("SUDO_USER", "")
    return f"{before} as {user}" if before.isprintable() and before else user


def _write_whole(path: Path, content: str) -> None:
    """Write a file in one step: a broker may read the directory at any moment."""
    making = path.with_name("." + path.name)
    making.unlink(missing_ok=True)
    keyfiles.write_new(making, content, 0o600)
    making.rename(path)
