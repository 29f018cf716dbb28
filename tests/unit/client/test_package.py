"""What `import zjobs` and `zjobs.client` offer, and jobs as values."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest

import zjobs
import zjobs.client
from zjobs.client import Client


def test_the_names_of_the_package() -> None:
    """Those that users need and nothing else, each with a docstring; help() says what they are for."""
    assert dir(zjobs) == [
        "AsyncClient",
        "Cancelled",
        "Client",
        "Context",
        "Executor",
        "__version__",
        "as_completed",
        "default_client",
        "task",
    ]
    for name in dir(zjobs):
        assert getattr(zjobs, name).__doc__, name
    with pytest.raises(AttributeError, match="nosuch"):
        zjobs.nosuch  # noqa: B018
    assert "Client" in (zjobs.__doc__ or "")


def test_the_names_of_the_client() -> None:
    """Clients, jobs, watches, NO_DATA and the errors; no module and no helper of ours."""
    names = dir(zjobs.client)
    assert {"Client", "AsyncClient", "Job", "NO_DATA", "WaitTimeout", "ZjobsError"} <= set(names)
    assert all(name[:1].isupper() and hasattr(zjobs.client, name) for name in names)


def test_only_what_is_used_is_imported() -> None:
    """`import zjobs` costs nothing; the blocking client does not load asyncio, nor the worker."""
    program = "import sys, zjobs; print('zmq' in sys.modules); zjobs.Client; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, loaded = ended.stdout.splitlines()
    assert first == "False"
    assert not {"asyncio", "zjobs.client.aio", "zjobs.worker"} & set(loaded.split())


def test_jobs_are_values(client: Client) -> None:
    """Equal by journal and id, as keys of a dict too."""
    one, same, other = client.job(1, "j"), client.job(1, "j"), client.job(1, "k")
    assert one == same and hash(one) == hash(same) and one != other and one != 1
    assert {one, same, other, client.job(2, "j")} == {one, other, client.job(2, "j")}


def test_a_pickled_job(broker: Any, client: Client) -> None:
    """It is the same job elsewhere, and asks the same broker; jobs that are loaded share a client."""
    job = client.submit("reverse", "x")
    loaded, again = pickle.loads(pickle.dumps(job)), pickle.loads(pickle.dumps(job))
    assert loaded == job and loaded.journal == broker.journal
    assert loaded.status() == job.status()
    assert loaded._client is again._client
    loaded._client.close()
