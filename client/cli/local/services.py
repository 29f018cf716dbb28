"""The command `services`: every named service with its state, all asked at once."""

from __future__ import annotations

import asyncio
from typing import Any

from zjobs.client.aio import AsyncClient
from zjobs.client.cli import exit_codes
from zjobs.client.cli.show.console import Output
from zjobs.client.cli.show.text import printable
from zjobs.client.errors import BrokerUnreachable, ZjobsError
from zjobs.client.services import Service, Services, config_file, load
from zjobs.messages.requests.queries import InfoReply

# A service that answers at all answers sooner; the list must not wait for those that do not.
PATIENCE_S = 2.0


def services(args: dict[str, Any], output: Output) -> int:
    """Print a line for each; the exit code is that of the first error."""
    known = load()
    if known is None or not known.named:
        output.note(f"no services are named in {config_file()}; see zclient services --help")
        return exit_codes.DONE
    answers = asyncio.run(_ask_all(known, min(args["--timeout"], PATIENCE_S)))
    name_width, broker_width = (max(map(len, column)) for column in zip(*map(_place, known.named.values())))
    for service, answer in zip(known.named.values(), answers):
        name, broker = _place(service)
        mark = "*" if service.name == known.default else " "
        line = f"{name:{name_width}}{mark} {broker:{broker_width}}  {_state(answer)}"
        output.line(line, _fields(service, service.name == known.default, answer))
    return next((exit_codes.code_of(one) for one in answers if isinstance(one, ZjobsError)), exit_codes.DONE)


async def _ask_all(known: Services, timeout: float) -> list[InfoReply | ZjobsError]:
    return await asyncio.gather(*(_ask(name, timeout) for name in known.named))


async def _ask(name: str, timeout: float) -> InfoReply | ZjobsError:
    try:
        async with AsyncClient(service=name, timeout=timeout) as client:
            return await client.info()
    except ZjobsError as error:
        return error


def _place(service: Service) -> tuple[str, str]:
    return printable(service.name), printable(service.broker)


def _state(answer: InfoReply | ZjobsError) -> str:
    if isinstance(answer, BrokerUnreachable):
        return f"no answer ({answer.why})" if answer.why else "no answer"
    if isinstance(answer, ZjobsError):
        return printable(str(answer))
    worker, paused = answer.worker, answer.paused
    parts = [
        *([] if paused is None else [f"paused: {printable(paused.reason)}" if paused.reason else "paused"]),
        f"worker {worker.state.value}",
        "idle" if worker.running is None else f"job {worker.running} runs",
        *([f"{answer.queued} queued"] if answer.queued else []),
        *([f"{answer.waiting} waiting"] if answer.waiting else []),
    ]
    return ", ".join(parts)


def _fields(service: Service, default: bool, answer: InfoReply | ZjobsError) -> dict[str, Any]:
    told: dict[str, Any] = {"info": answer}
    if isinstance(answer, ZjobsError):
        told = {"error": {"code": answer.code, "message": str(answer)}}
    return {"service": service.name, "default": default, "broker": service.broker, **told}
