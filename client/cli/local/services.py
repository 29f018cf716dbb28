"""The command `services`: every named service with its state, all asked at once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from zjobs.client.aio import AsyncClient
from zjobs.client.cli import exit_codes
from zjobs.client.cli.show.console import Output
from zjobs.client.cli.show.grid import Column, Grid
from zjobs.client.cli.show.pauses import paused_lines
from zjobs.client.cli.show.styled import ASCII, UNICODE, Line, Span, Style, line, padded, plain, width
from zjobs.client.config.services import Service, Services, config_file, load
from zjobs.client.errors import BrokerUnreachable, ZjobsError
from zjobs.client.wording.text import printable
from zjobs.messages.requests.queries import InfoReply
from zjobs.messages.states import WorkerState

# A service that answers at all answers sooner than this; the list must not wait for those that do not.
PATIENCE_S = 2.0

_HEAD = [line(Span(word, Style.FAINT)) for word in ("", "SERVICE", "BROKER", "STATE")]
_COLUMNS = (Column(), Column(), Column(least=12, leaves=1), Column())


def services(args: dict[str, Any], output: Output) -> int:
    """Print a line for each service. The exit code is that of the first error."""
    known = load()
    if known is None or not known.named:
        output.note(f"no services are named in {config_file()}; see zclient services --help")
        return exit_codes.DONE
    answers = asyncio.run(_ask_all(known, min(args["--timeout"], PATIENCE_S)))
    rows = [_row(service, known.default, answer) for service, answer in zip(known.named.values(), answers)]
    if output.columns is None or output.as_json:
        name_width, broker_width = (max(width(row[place]) for row in rows) for place in (1, 2))
        for service, answer, (mark, name, broker, state) in zip(known.named.values(), answers, rows):
            whole = (*padded(name, name_width), *padded(mark, 2), *padded(broker, broker_width + 2), *state)
            output.line(plain(whole), _fields(service, service.name == known.default, answer))
    else:
        glyphs = UNICODE if output.in_unicode else ASCII
        grid = Grid(_COLUMNS, [_HEAD], rows, output.columns, glyphs, last=max(width(row[-1]) for row in rows))
        for row in (_HEAD, *rows):
            output.styled(grid.line(row))
    return next((exit_codes.code_of(one) for one in answers if isinstance(one, ZjobsError)), exit_codes.DONE)


async def _ask_all(known: Services, timeout: float) -> list[InfoReply | ZjobsError]:
    return await asyncio.gather(*(_ask(name, timeout) for name in known.named))


async def _ask(name: str, timeout: float) -> InfoReply | ZjobsError:
    try:
        async with AsyncClient(service=name, timeout=timeout) as client:
            return await client.info()
    except ZjobsError as error:
        return error


def _row(service: Service, default: str | None, answer: InfoReply | ZjobsError) -> list[Line]:
    mark = line("*" if service.name == default else "")
    return [mark, line(Span(printable(service.name), Style.STRONG)), line(printable(service.broker)), _state(answer)]


def _state(answer: InfoReply | ZjobsError) -> Line:
    if isinstance(answer, BrokerUnreachable):
        return line(Span("no answer", Style.BAD), f" ({printable(answer.why)})" if answer.why else "")
    if isinstance(answer, ZjobsError):
        return line(Span(printable(str(answer)), Style.BAD))
    worker = answer.worker
    parts = [
        *(Span(each, Style.WARNING) for each in paused_lines(answer.paused, answer.pauses, time.time())),
        Span(f"worker {worker.state.value}", Style.PLAIN if worker.state is WorkerState.READY else Style.BAD),
        Span(
            "idle" if worker.running is None else f"job {worker.running} runs",
            Style.GOOD if worker.running else Style.PLAIN,
        ),
        Span(f"{answer.queued} queued" if answer.queued else ""),
        Span(f"{answer.waiting} waiting" if answer.waiting else ""),
    ]
    return line(*[each for part in parts if part.text for each in (", ", part)][1:])


def _fields(service: Service, default: bool, answer: InfoReply | ZjobsError) -> dict[str, Any]:
    told: dict[str, Any] = {"info": answer}
    if isinstance(answer, ZjobsError):
        told = {"error": {"code": answer.code, "message": str(answer)}}
    return {"service": service.name, "default": default, "broker": service.broker, **told}
