"""What may be written as an endpoint, and which one stands beside which."""

from __future__ import annotations

import pytest

from zjobs.program.endpoints import EVENTS, FRONTEND, PIPE, REPORTS, address, after, checked, seen_from


@pytest.mark.parametrize(
    "endpoint",
    [FRONTEND, "tcp://*:1", "tcp://example.org:65535", "tcp://[::1]:5570", "tcp://[fe80::1%eth0]:7", "ipc:///run/zjobs",
     "ipc://zjobs"],
)  # fmt: skip
def test_endpoints_are_taken_as_they_are(endpoint: str) -> None:
    """Names, both kinds of addresses, every interface, paths."""
    assert checked(endpoint) == endpoint


@pytest.mark.parametrize(
    ("endpoint", "word"),
    [
        ("", "is not an endpoint"),
        ("5570", "is not an endpoint"),
        ("localhost:5570", "is not an endpoint"),
        ("tcp://localhost", "is not an endpoint"),
        ("tcp://:5570", "is not an endpoint"),
        ("tcp://::1:5570", "is not an endpoint"),
        ("tcp://a b:5570", "is not an endpoint"),
        ("tcp://localhost:5570\n", "is not an endpoint"),
        ("udp://localhost:5570", "is not an endpoint"),
        ("ipc://", "is not an endpoint"),
        ("tcp://localhost:0", "from 1 to 65535"),
        ("tcp://localhost:65536", "from 1 to 65535"),
        ("tcp://localhost:*", "must be a number"),
    ],
)
def test_what_is_none_is_refused_with_a_sentence(endpoint: str, word: str) -> None:
    """It names what was written."""
    with pytest.raises(ValueError, match=word) as caught:
        checked(endpoint)
    assert endpoint.strip() in str(caught.value)


def test_a_free_port_is_one_where_it_may_be() -> None:
    """Where the other side learns it, not where it dials it."""
    assert checked("tcp://localhost:*", free_port=True) == "tcp://localhost:*"


@pytest.mark.parametrize(
    ("endpoint", "places", "beside"),
    [
        (FRONTEND, EVENTS, "tcp://127.0.0.1:5571"),
        (FRONTEND, PIPE, "tcp://127.0.0.1:5572"),
        (FRONTEND, REPORTS, "tcp://127.0.0.1:5573"),
        ("tcp://[::1]:10", PIPE, "tcp://[::1]:12"),
        ("tcp://h:*", EVENTS, "tcp://h:*"),
        ("ipc:///run/z", EVENTS, "ipc:///run/z.events"),
        ("ipc:///run/z", PIPE, "ipc:///run/z.pipe"),
        ("ipc:///run/z", REPORTS, "ipc:///run/z.reports"),
    ],
)
def test_the_places_after_the_frontend(endpoint: str, places: int, beside: str) -> None:
    """Ports count up, paths get a suffix, a free port stays one."""
    assert after(endpoint, places) == beside


def test_there_is_no_place_after_the_last_port() -> None:
    """A sentence, not a port that does not exist."""
    with pytest.raises(ValueError, match="65535"):
        after("tcp://h:65534", PIPE)


@pytest.mark.parametrize(
    ("endpoint", "dialled", "seen"),
    [
        ("tcp://*:5571", "tcp://example.org:5570", "tcp://example.org:5571"),
        ("tcp://0.0.0.0:5571", "tcp://[::1]:5570", "tcp://[::1]:5571"),
        ("ipc:///run/z.events", "ipc:///run/z", "ipc:///run/z.events"),
        ("tcp://10.0.0.1:5571", "ipc:///run/z", "tcp://10.0.0.1:5571"),
    ],
)
def test_a_client_keeps_the_host_it_dialled(endpoint: str, dialled: str, seen: str) -> None:
    """The broker does not know by which name it is reached."""
    assert seen_from(endpoint, dialled) == seen


def test_one_place_has_one_address() -> None:
    """However it is written: lock files are called by it."""
    assert address("tcp://localhost:7") in ("tcp://127.0.0.1:7", "tcp://::1:7")
    assert address("tcp://127.0.0.1:7") == "tcp://127.0.0.1:7"
    assert address("tcp://[::1]:7") == address("tcp://[0:0:0:0:0:0:0:1]:7")
    assert address("tcp://*:7") == "tcp://*:7"
    assert address("ipc:///run/z") == "ipc:///run/z"
