"""Requests on behalf of a person, by both clients, to a broker without keys. tests/security has those with keys."""

from __future__ import annotations

import asyncio
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest

from zjobs.client import AsyncClient, errors

if TYPE_CHECKING:
    from tests.conftest import Service


def test_it_restricts(shared_service: Service) -> None:
    """Jobs belong to the person, who sees no others' as a submitter; the client itself may do everything, as before."""
    with shared_service.client() as client:
        ann, bob = client.acting_for("ann@example.org", "submitter"), client.acting_for("bob+lab", "member")
        plain, theirs = client.submit("reverse", "x"), ann.submit("reverse", "abc", request_key="same")
        assert theirs.result(20) == "cba" and theirs.status().owner == "ann@example.org"
        assert bob.submit("reverse", "other", request_key="same").id != theirs.id
        assert ann.submit("reverse", "abc", request_key="same").id == theirs.id
        with pytest.raises(errors.NotPermitted, match=f"job {plain.id} is not yours"):
            ann.status([plain.id])
        assert [job.id for job in ann.list()] == [theirs.id]
        assert bob.status([plain.id, theirs.id]).missing == ()
        with pytest.raises(errors.NotPermitted):
            bob.cancel([theirs.id])
        with pytest.raises(errors.NotPermitted, match="eve is a viewer"):
            client.acting_for("eve", "viewer").submit("reverse", "x")
        assert client.acting_for("root", "operator").forget([theirs.id]).forgotten == (theirs.id,)
        with pytest.raises(errors.NotPermitted, match="rights of the key"):
            ann.watch()
        ann.close()
        assert client.info().pid == bob.info().pid


@pytest.mark.parametrize(("name", "role"), [("", "viewer"), ("a b", "viewer"), ("x" * 129, "viewer"), ("ann", "king")])
def test_names_and_roles_that_are_none(shared_service: Service, name: str, role: str) -> None:
    """They are refused before anything is sent."""
    with shared_service.client() as client, pytest.raises(errors.BadRequest, match="is not"):
        client.acting_for(name, role)


def test_a_job_remembers_whose_view_it_came_from(shared_service: Service) -> None:
    """When it is pickled, and when its end is waited for in the background."""
    with shared_service.client() as client:
        ann, bob = client.acting_for("ann", "submitter"), client.acting_for("bob", "submitter")
        job = ann.submit("reverse", "abc")
        called, seen = threading.Event(), bob.job(job.id)
        seen.add_done_callback(lambda job: called.set())
        assert called.wait(20)  # what cannot be learnt is told as well
        assert pickle.loads(pickle.dumps(job)).result(20) == "cba"
        with pytest.raises(errors.NotPermitted):
            pickle.loads(pickle.dumps(seen)).status()


async def test_waits_of_different_people_are_apart(shared_service: Service) -> None:
    """They share a connection but no request: what one may not ask spoils no other's wait."""
    async with AsyncClient(shared_service.endpoint, 20) as client:
        ann, bob = client.acting_for("ann", "submitter"), client.acting_for("bob", "submitter")
        job = await ann.submit("reverse", "abc")
        waits: list[Any] = [ann.job(job.id).result(20), bob.job(job.id).result(20), client.job(job.id).result(20)]
        told = await asyncio.gather(*waits, return_exceptions=True)
        assert (told[0], type(told[1]), told[2]) == ("cba", errors.NotPermitted, "cba")
