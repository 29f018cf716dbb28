"""The services that a user has named in `config.toml`: the address of each one's broker, and the key for it.

default = "laser"

[services.laser]
broker = "tcp://192.0.2.10:5570"    # or a list, of which the first that answers is used
key = "laser.key"                   # beside config.toml, unless the path is absolute; "" means none
"""

from __future__ import annotations

import os
import sys
from typing import Any

from zjobs.client.config.addresses import Addresses
from zjobs.client.errors import BadAddress, BadConfig
from zjobs.messages.named import NamedTuple
from zjobs.program import endpoints

SERVICE_VARIABLE = "ZJOBS_SERVICE"


class Service(NamedTuple):
    """A named service. `broker`: its address, or several with commas. `key`: the path of its key file, empty for no
    key, None if config.toml names none."""

    name: str
    broker: str
    key: str | None


class Services(NamedTuple):
    """The content of the file: the services, in its order, and the name of the default, if it has one."""

    file: str
    named: dict[str, Service]
    default: str | None


def folder() -> str:
    """Return the folder of the user's configuration and key file (XDG base directories)."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return os.path.join(base if base.startswith("/") else os.path.expanduser("~/.config"), "zjobs")


def config_file() -> str:
    """Return the path of the file, which need not exist."""
    return os.path.join(folder(), "config.toml")


def load(given: str | None = None) -> Services | None:
    """Read the file `given`, else the user's, if there is one. Raises BadConfig, which names the line or the field."""
    file = given or config_file()
    try:
        with open(file, "rb") as opened:
            content = opened.read()
    except FileNotFoundError as error:
        if given is None:
            return None
        raise BadConfig(f"{file} cannot be read: {error.strerror}") from None
    except OSError as error:
        raise BadConfig(f"{file} cannot be read: {error.strerror}") from None
    return _Reader(file).services(_parsed(file, content))


def chosen(given: str | None) -> Service | None:
    """Return the service named `given`, else by $ZJOBS_SERVICE, else the default of the file. Raises BadConfig."""
    services = load()
    name = given or os.environ.get(SERVICE_VARIABLE) or (services and services.default)
    if not name:
        return None
    if services is None:
        raise BadConfig(
            f"there is no service {name}: {config_file()} does not exist; name it there: [services.{name}], and"
            f' broker = "{endpoints.FRONTEND}" or the like'
        )
    if name not in services.named:
        raise BadConfig(f"{services.file} has no service {name}; it has {', '.join(services.named) or 'none'}")
    return services.named[name]


def _parsed(file: str, content: bytes) -> dict[str, Any]:
    if sys.version_info >= (3, 11):  # not at the top: most users have no such file
        import tomllib
    else:
        import tomli as tomllib

    try:
        return dict(tomllib.loads(content.decode()))
    except UnicodeDecodeError as error:
        raise BadConfig(f"{file} is not UTF-8 text (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{file} is not TOML: {error}") from None


class _Reader:
    """A reader of the parsed file that checks each field."""

    def __init__(self, file: str) -> None:
        self._file = file

    def services(self, parsed: dict[str, Any]) -> Services:
        self._check_fields("", parsed, ("default", "services"))
        tables = self._typed("services", parsed.get("services", {}), dict, "tables such as [services.laser]")
        named = {name: self._service(name, table) for name, table in tables.items()}
        default = parsed.get("default")
        if default is not None:
            self._typed("default", default, str, "the name of a service")
            if default not in named:
                self._refuse("default", f"there is no [services.{default}]")
        return Services(self._file, named, default)

    def _service(self, name: str, table: Any) -> Service:
        field = f"services.{name}"
        self._typed(field, table, dict, f'a table: [{field}], and broker = "{endpoints.FRONTEND}" or the like')
        self._check_fields(f"{field}.", table, ("broker", "key"))
        if "broker" not in table:
            self._refuse(f"{field}.broker", f'it is missing; write broker = "{endpoints.FRONTEND}" or the like')
        brokers = table["broker"] if isinstance(table["broker"], list) else [table["broker"]]
        wanted = f'an address, as in "{endpoints.FRONTEND}", or a list of them'
        try:
            addresses = Addresses(",".join(self._typed(f"{field}.broker", each, str, wanted) for each in brokers))
        except BadAddress as error:
            self._refuse(f"{field}.broker", str(error))
        key = table.get("key")
        if key is not None:
            self._typed(f"{field}.key", key, str, 'the path of a key file, or "" for none')
            key = key and os.path.join(os.path.dirname(self._file), os.path.expanduser(key))
        return Service(name, addresses.text, key)

    def _check_fields(self, before: str, table: dict[str, Any], fields: tuple[str, ...]) -> None:
        for field in table.keys() - set(fields):
            self._refuse(f"{before}{field}", f"there is no such field; there are {' and '.join(fields)}")

    def _typed(self, field: str, value: Any, kind: type, wanted: str) -> Any:
        if not isinstance(value, kind):
            self._refuse(field, f"it must be {wanted}")
        return value

    def _refuse(self, field: str, why: str) -> None:
        raise BadConfig(f"{self._file}: {field}: {why}")
