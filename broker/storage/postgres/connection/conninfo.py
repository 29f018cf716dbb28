"""The address of the database, from the URL of `--journal`: one attempt for each host, and a name without secrets."""

from __future__ import annotations

from urllib.parse import quote

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from zjobs.broker.storage.api import JournalError

CONNECT_S = 5.0  # for one host
HIDDEN = ("password", "sslpassword")
SHOWN = ("service", "sslmode", "options")

# What the session needs whatever the role or the database is set to. Plans are made once, for few rows found by an
# index. A session whose host is gone ends within half a minute, and its lock with it; keepalives alone would take two
# hours. What ends idle or long statements would end the ownership of the journal.
SETTINGS = {
    "client_encoding": "UTF8",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
    "default_transaction_isolation": "read\\ committed",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
DEFAULTS = {
    "application_name": "zbroker",
    "target_session_attrs": "read-write",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}


class Address:
    """The address of a journal. `name` has no secrets."""

    def __init__(self, url: str) -> None:
        """Parse a URL. Raises JournalError if PostgreSQL cannot read it."""
        try:
            given = {
                option.keyword.decode(): option.val.decode()
                for option in pq.Conninfo.parse(url.encode())
                if option.val is not None
            }
        except psycopg.Error as error:
            raise JournalError(f"the journal's address cannot be read: {' '.join(str(error).split())}") from None
        self.name = _shown(given)
        self.connect_s = float(given.pop("connect_timeout", CONNECT_S)) or CONNECT_S
        options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
        given["options"] = f"{options} {given.get('options', '')}".strip()
        # one string for each host: libpq tries the next one when a host refuses, but not when it does not answer
        self.attempts = [make_conninfo(**(DEFAULTS | given | host)) for host in _hosts(given)]


def _hosts(given: dict[str, str]) -> list[dict[str, str]]:
    lists = {name: given[name].split(",") for name in ("host", "hostaddr", "port") if name in given}
    count = max((len(values) for name, values in lists.items() if name != "port"), default=1)
    return [
        {name: values[place] if len(values) > 1 else values[0] for name, values in lists.items()}
        for place in range(count)
    ]


def _shown(given: dict[str, str]) -> str:
    user = f"{quote(given['user'])}@" if "user" in given else ""
    hosts = _hosts(given)
    words = {name: given[name] for name in SHOWN if name in given}
    if any("/" in host.get("host", "") for host in hosts):
        words["host"] = given["host"]
        words |= {"port": given["port"]} if "port" in given else {}
        places = ""
    else:
        places = ",".join(
            host.get("host", host.get("hostaddr", "")) + (f":{host['port']}" if "port" in host else "")
            for host in hosts
        )
    query = "&".join(f"{name}={quote(value, safe='/,-=._')}" for name, value in words.items())
    return f"postgresql://{user}{places}/{quote(given.get('dbname', ''))}" + (f"?{query}" if query else "")
