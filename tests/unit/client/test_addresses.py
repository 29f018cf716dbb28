"""Several addresses of one broker: which one a client uses, and when it goes on to the next."""

from __future__ import annotations

import asyncio
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.client.conftest import FakeBroker
from zjobs.client import AsyncClient, BadAddress, BrokerUnreachable, Client
from zjobs.client.config.addresses import Addresses
from zjobs.client.errors import BrokerChanged
from zjobs.client.protocol import actions
from zjobs.client.protocol.events import watch
from zjobs.messages.requests.changes import Submit
from zjobs.messages.states import JobState

A, B, C = "tcp://127.0.0.1:7001", "tcp://127.0.0.1:7002", "tcp://127.0.0.1:7003"


@pytest.fixture
def dead() -> Iterator[str]:
    """An address that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"tcp://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def second() -> Iterator[FakeBroker]:
    """Another broker of the same journal."""
    fake = FakeBroker()
    yield fake
    fake.stop()


# --- without sockets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [f"{A},{B}", "127.0.0.1:7001, 127.0.0.1:7002", [A, B], (A, B, A)])
def test_how_they_are_given(given: Any) -> None:
    """As a list, or as text with commas between; each once."""
    addresses = Addresses(given)
    assert (addresses.every, addresses.several, addresses.current) == ((A, B), True, A)
    assert (addresses.text, addresses.named) == (f"{A},{B}", f"{A} or {B}")


@pytest.mark.parametrize("given", [[], "", f"{A},", ["nowhere"]])
def test_what_is_no_address(given: Any) -> None:
    """It is refused at once."""
    with pytest.raises(BadAddress):
        Addresses(given)


def test_they_are_tried_in_turn() -> None:
    """Whoever leaves one that was left already does not skip another; after the last comes the first."""
    addresses = Addresses([A, B, C])
    assert addresses.leave(A) and addresses.current == B
    assert addresses.leave(A) and addresses.current == B
    assert addresses.leave(B) and addresses.current == C
    assert not addresses.leave(C) and addresses.current == A
    assert not Addresses(A).leave(A)


def test_what_is_wrong_at_them() -> None:
    """Said once where it is the same everywhere."""
    addresses = Addresses([A, B])
    assert addresses.why({A: "closed", B: "closed"}) == "closed"
    assert addresses.why({A: "closed", B: "unknown"}) == f"{A}: closed; {B}: unknown"
    assert addresses.why({A: "closed", B: ""}) == "closed" and addresses.why({}) == ""


# --- both clients ----------------------------------------------------------------------------------------------


def blocking(addresses: Any, ask: Callable[[Any], Any], timeout: float = 20.0) -> tuple[Any, str]:
    """What `ask` of the client gives, and the address in use then."""
    with Client(addresses, timeout=timeout) as client:
        return ask(client), client.address


def in_a_loop(addresses: Any, ask: Callable[[Any], Any], timeout: float = 20.0) -> tuple[Any, str]:
    """The same of an AsyncClient."""

    async def run() -> tuple[Any, str]:
        async with AsyncClient(addresses, timeout=timeout) as client:
            return await ask(client), client.address

    return asyncio.run(run())


BOTH = pytest.mark.parametrize("asked", [blocking, in_a_loop])


@BOTH
def test_the_first_that_answers(broker: Any, dead: str, asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead address before it is left as soon as it refuses, and costs no request."""
    monkeypatch.setattr(actions, "RETRY_S", 3600.0)
    info, address = asked([dead, broker.address], lambda client: client.info())
    assert (info.journal, address, len(broker.requests)) == (broker.journal, broker.address, 1)


@BOTH
def test_a_host_without_an_address(broker: Any, asked: Any) -> None:
    """A name that the network does not know is passed over."""
    _, address = asked(["tcp://nosuch.invalid:5570", broker.address], lambda client: client.info())
    assert address == broker.address


@BOTH
def test_none_answers(dead: str, asked: Any) -> None:
    """The sentence names all of them."""
    with pytest.raises(BrokerUnreachable, match=rf"{dead} or {A} within 0.3 s: nothing listens there"):
        asked([dead, A], lambda client: client.info(), timeout=0.3)


@BOTH
def test_a_submit_that_was_not_answered(broker: Any, second: FakeBroker, asked: Any) -> None:
    """The next broker is asked with the same bytes: the request key protects from a second job."""
    stopping = threading.Thread(target=broker.stop)
    broker.script = [lambda _: stopping.start()]
    job, address = asked([broker.address, second.address], lambda client: client.submit("reverse", "x"))
    assert (job.id, address) == (1, second.address)
    assert broker.frames[-1] == second.frames[-1] and len(second.asked(Submit)) == 1
    stopping.join()
    broker.start()  # for the end of the test


@BOTH
def test_one_that_is_silent(broker: Any, second: FakeBroker, asked: Any) -> None:
    """It may be stopped: the client does not wait for it for ever."""
    broker.script = [lambda request: None] * 9
    info, address = asked([broker.address, second.address], lambda client: client.info())
    assert (info.journal, address) == (second.journal, second.address)


def test_a_watch_goes_on_at_the_next(broker: Any, second: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The events are then those of the broker that answers."""
    monkeypatch.setattr(watch, "CHECK_EVERY_S", 3600.0)
    for one in (broker, second):
        one.add(1)
    with Client([broker.address, second.address], timeout=20) as client, client.watch([1]) as watching:
        broker.stop()
        while client.address != second.address:
            watching.next(0.01)
        assert second.subscribed.get(timeout=20) == b"\x01job.1."
        second.add(1, JobState.COMPLETED, "y")
        while watching.unfinished:
            assert watching.next(20) is not None
        assert watching.jobs[1].state is JobState.COMPLETED
        assert client.address == second.address and client.result(1) == "y"
    broker.start()


async def test_many_requests_of_one_client_move_together(broker: Any, second: FakeBroker) -> None:
    """Each is answered, and the connection is left once."""
    async with AsyncClient([broker.address, second.address], timeout=20) as client:
        await client.info()
        broker.stop()
        replies = await asyncio.gather(*(client.hello() for _ in range(50)))
        assert {reply.events for reply in replies} == {second.events} and client.address == second.address
    broker.start()


def test_another_journal_there(broker: Any, second: FakeBroker) -> None:
    """A job of the first journal is not looked for in the second."""
    second.journal = "journal-2"
    with Client([broker.address, second.address], timeout=20) as client:
        job = client.submit("reverse", "x")
        broker.stop()
        second.add(1)
        with pytest.raises(BrokerChanged):
            job.status()
    broker.start()


def test_a_pickled_job_knows_all(broker: Any, dead: str) -> None:
    """It finds its broker again."""
    with Client([dead, broker.address], timeout=20) as client:
        job = client.submit("reverse", "x")
        again = pickle.loads(pickle.dumps(job))
        assert again == job and again.status().id == job.id
        again._client.close()


# --- zclient ---------------------------------------------------------------------------------------------------


def test_zclient(run: Any, broker: Any, dead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """--broker and $ZJOBS_BROKER take several; trouble is told when it is everywhere."""
    broker.add(9)
    assert run("--broker", f"{dead},{broker.address}", "status", "9") == (0, "9 queued\n", "")
    monkeypatch.setenv("ZJOBS_BROKER", f"{dead},{broker.address}")
    assert run("status", "9") == (0, "9 queued\n", "")
    ran = run("--broker", f"{dead},{A}", "--timeout", "0.5", "status", "9")
    assert ran.code == 69
    assert ran.err.startswith(f"zclient: nothing listens at {dead} or {A}: start zbroker, or choose another with")
