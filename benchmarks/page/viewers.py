"""`python -m benchmarks.page.viewers URL COOKIE COUNT`: browsers that have the page open, as far as a gateway can tell.

Each reads the stream of events. When a job has changed, it asks for the parts of the page: soon, and then not again
before twice as long has passed as the answer took. Prints a line when all of them have begun.
"""

from __future__ import annotations

import asyncio
import sys
import time

import httpx

SERVICE = "default"
GATHER_S = 0.03
GAP_S = 0.1
SHARE = 2


async def view(client: httpx.AsyncClient, begun: asyncio.Event) -> None:
    """One browser."""
    changed = asyncio.Event()

    async def ask() -> None:
        while True:
            await changed.wait()
            await asyncio.sleep(GATHER_S)
            changed.clear()
            begun_at = time.perf_counter()
            (await client.get(f"/services/{SERVICE}/part/all")).raise_for_status()
            await asyncio.sleep(max(GAP_S, SHARE * (time.perf_counter() - begun_at)))

    asking = asyncio.create_task(ask())
    async with client.stream("GET", f"/api/v1/services/{SERVICE}/events") as answered:
        begun.set()
        async for line in answered.aiter_lines():
            if line == "event: job":
                changed.set()
    asking.cancel()


async def main(url: str, cookie: str, count: int) -> None:
    """All browsers, until this program is ended."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, headers={"Cookie": cookie}, limits=limits, timeout=None) as client:
        begun = [asyncio.Event() for _ in range(count)]
        viewers = [asyncio.create_task(view(client, each)) for each in begun]
        await asyncio.gather(*(each.wait() for each in begun))
        print("viewers ready", flush=True)
        await asyncio.gather(*viewers)


if __name__ == "__main__":
    url, cookie, count = sys.argv[1:]
    asyncio.run(main(url, cookie, int(count)))
