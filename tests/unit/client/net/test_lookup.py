"""A broker whose host has a name: what is told while, and when, that has no address."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from zjobs.client import Client
from zjobs.client.errors import BrokerUnreachable

NAME = "broker.example"


class Resolver:
    """In place of the system's: answers when it is let, with what `address` says."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.address: list[Any] = []

    def getaddrinfo(self, host: str, *_: Any) -> list[Any]:
        assert host == NAME
        self.answers.wait()
        if not self.address:
            raise socket.gaierror
        return self.address


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.getaddrinfo)
    yield resolver
    resolver.answers.set()


def asked(timeout: float, told: list[str]) -> str:
    """What comes of a request to a broker of that name."""
    with Client(f"{NAME}:5570", timeout, key="") as client:
        client.connection.on_trouble = told.append
        with pytest.raises(BrokerUnreachable) as caught:
            client.info()
    return str(caught.value).partition(": ")[2]


def test_a_resolver_that_does_not_answer(resolver: Resolver) -> None:
    """It is said while it is waited for, and the time-out is kept: nobody waits for the resolver."""
    told: list[str] = []
    assert asked(0.6, told) == f"still looking up {NAME}"
    assert told == [f"still looking up {NAME}"]


def test_a_name_without_an_address(resolver: Resolver) -> None:
    """Said once, though it is looked up again and again."""
    resolver.answers.set()
    told: list[str] = []
    assert asked(1.2, told) == f"the host {NAME} is unknown"
    assert told == [f"the host {NAME} is unknown"]


def test_a_slow_answer(resolver: Resolver) -> None:
    """What is found in the end is told as well."""
    told: list[str] = []

    class Told(list[str]):
        def append(self, why: str) -> None:
            told.append(why)
            resolver.answers.set()

    assert asked(1.2, Told()) == f"the host {NAME} is unknown"
    assert told == [f"still looking up {NAME}", f"the host {NAME} is unknown"]
