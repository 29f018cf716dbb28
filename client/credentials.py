"""Which key a client shows: the file it is given, the one that $ZJOBS_KEY names, or the user's own."""

from __future__ import annotations

import os
from typing import NamedTuple

from zjobs.client.errors import BadKeyFile

ENVIRONMENT_VARIABLE = "ZJOBS_KEY"


class Key(NamedTuple):
    """A client's pair of keys, the broker's public one, and the file they are from."""

    public: str
    secret: str
    server: str
    file: str


def key_file(given: str | os.PathLike[str] | None) -> str | None:
    """The file to use: `given`, else $ZJOBS_KEY, else client.key in the user's configuration if it exists.

    An empty name means none, whatever there is.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE) if given is None else os.fspath(given)
    if named is not None:
        return named or None
    base = os.environ.get("XDG_CONFIG_HOME", "")
    own = os.path.join(base if base.startswith("/") else os.path.expanduser("~/.config"), "zjobs", "client.key")
    return own if os.path.exists(own) else None


def load(file: str) -> Key:
    """The key in `file`. Raises BadKeyFile."""
    from zjobs.program import keyfiles  # not at the top: most starts of zclient need no key

    try:
        identity = keyfiles.load(file)
    except keyfiles.KeyFileError as error:
        raise BadKeyFile(str(error)) from None
    return Key(identity.public, identity.secret, identity.server, file)
