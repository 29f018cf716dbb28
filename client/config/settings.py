"""The settings of a client: its broker, its key, its patience."""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import copy
from functools import cache
from typing import Any, TypeVar

from zjobs.client.config import services
from zjobs.client.config.addresses import Addresses
from zjobs.client.errors import BadKeyFile, BadRequest, BrokerChanged
from zjobs.messages.fields import MAX_SUBMITTER_CHARS, PERSON_NAME, is_person_name
from zjobs.messages.named import NamedTuple
from zjobs.messages.records import ActingFor
from zjobs.messages.states import Role
from zjobs.program import endpoints

Client = TypeVar("Client", bound="Settings")

# Longer than a broker needs to restart, even with a large journal.
PATIENCE_S = 60.0

KEY_VARIABLE = "ZJOBS_KEY"


class Key(NamedTuple):
    """A client's pair of keys, the broker's public key, the file they come from, and the holder's name in that file."""

    public: str
    secret: str
    server: str
    file: str
    name: str


def key_file(given: str | os.PathLike[str] | None) -> str | None:
    """Return the key file to use: `given`, else $ZJOBS_KEY, else client.key in the user's configuration if it exists.

    An empty name means no key.
    """
    named = os.environ.get(KEY_VARIABLE) if given is None else os.fspath(given)
    if named is not None:
        return named or None
    own = os.path.join(services.folder(), "client.key")
    return own if os.path.exists(own) else None


def load_key(file: str) -> Key:
    """Read the key in `file`. Raises BadKeyFile."""
    from zjobs.program import keyfiles  # not at the top: most starts of zclient need no key

    try:
        credential = keyfiles.load(file)
    except keyfiles.KeyFileError as error:
        raise BadKeyFile(str(error)) from None
    return Key(credential.public, credential.secret, credential.server, file, credential.name)


@cache
def user_at_host() -> str:
    """Return who runs this program, as the environment says: `alice@lab3`. It proves nothing."""
    user = os.environ.get("LOGNAME") or os.environ.get("USER") or _login_name()
    named = f"{user}@{os.uname().nodename}"[:MAX_SUBMITTER_CHARS]
    return named.encode(errors="replace").decode()  # names may have bytes that are not UTF-8


def _login_name() -> str:
    import pwd  # not at the top: the environment usually has the name

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


class Settings:
    """The settings of `Client` and `AsyncClient`; see there.

    An argument takes precedence over the environment, and the environment over the defaults of files. A service given
    by name brings its own key.
    """

    def __init__(
        self,
        broker: str | Sequence[str] | None,
        timeout: float,
        patience: float,
        key: str | os.PathLike[str] | None,
        service: str | None,
    ) -> None:
        by_environment = os.environ.get(endpoints.ENVIRONMENT_VARIABLE)
        chosen = services.chosen(service) if service or not (broker or by_environment) else None
        address = broker or (chosen.broker if chosen else by_environment) or endpoints.FRONTEND
        if key is None and chosen and (service or KEY_VARIABLE not in os.environ):
            key = chosen.key
        self.addresses = Addresses(address)
        self.whole = self  # the client that this is a view of, if it is one
        self.person: ActingFor | None = None  # on whose behalf requests are made
        self.background: Any = None  # the thread that waits for jobs, once there is one: see client/futures.py
        self.timeout = timeout
        self.patience = patience
        file = key_file(key)
        self.key = None if file is None else load_key(file)

    @property
    def owner(self) -> str:
        """The owner of the jobs that this client submits; empty if the broker has no keys."""
        if self.person is not None:
            return self.person.name
        return "" if self.key is None else self.key.name

    @property
    def address(self) -> str:
        """The address in use."""
        return self.addresses.current

    @property
    def submitter(self) -> str:
        """The name of the user who submits, if no key proves one."""
        return "" if self.owner else user_at_host()

    def acting_for(self: Client, name: str, role: Role | str) -> Client:
        """Return a view of this client whose requests are made on behalf of a person, in their role.

        It shares the client's connections and lives as long as they do; closing it does nothing. If the broker has
        keys, this client's key must be marked (zbroker keys add --acts-for). Raises BadRequest for an invalid name or
        role.
        """
        if not is_person_name(name):
            raise BadRequest(f"{name!r} is not the name of a person: use {PERSON_NAME}")
        if role not in [each.value for each in Role]:
            raise BadRequest(f"{role!r} is not a role; there are {', '.join(each.value for each in Role)}")
        view = copy(self)
        view.person = ActingFor(name, Role(role))
        return view

    def check_journal(self, heard: str, expected: str | None) -> None:
        """Raise BrokerChanged if the broker runs on another journal than `expected` (None accepts any)."""
        if expected is not None and heard != expected:
            raise BrokerChanged(self.address)
