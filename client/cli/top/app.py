"""The program behind `top`: keys come in, wishes go to the client, and textual paints the screen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from zjobs.client.aio import AsyncClient
from zjobs.client.cli.overview import snapshot
from zjobs.client.cli.show.pauses import resumed_lines
from zjobs.client.cli.show.styled import BLANK, Glyphs, Line, Style
from zjobs.client.cli.top.keys import press
from zjobs.client.cli.top.live import Live
from zjobs.client.cli.top.screen import (
    Cancel,
    Details,
    Filter,
    Mode,
    Pause,
    Printed,
    Quit,
    Refresh,
    Resume,
    Retry,
    Screen,
    Wish,
)
from zjobs.client.cli.top.view import page_rows, view
from zjobs.client.errors import ZjobsError

TICK_S = 1.0
DELAYED_JOBS, ENDED_JOBS = 10, 10
MOST_JOBS = 1_000

_STYLES = {
    Style.PLAIN: RichStyle(),
    Style.STRONG: RichStyle(bold=True),
    Style.FAINT: RichStyle(dim=True),
    Style.GOOD: RichStyle(color="green"),
    Style.BAD: RichStyle(color="red"),
    Style.WARNING: RichStyle(color="yellow"),
    Style.ACTIVE: RichStyle(color="cyan"),
}


class Canvas(Widget):
    """The widget that shows lines, and repaints those that have changed."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: Sequence[Line] = ()

    def show(self, lines: Sequence[Line]) -> None:
        """Replace the lines."""
        before, self._lines = self._lines, lines
        old = [*before, *[BLANK] * (len(lines) - len(before))]
        changed = [Region(0, y, self.size.width, 1) for y, (was, now) in enumerate(zip(old, lines)) if was != now]
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        """Return a line as textual paints it."""
        of = self._lines[y] if y < len(self._lines) else BLANK
        strip = Strip([Segment(span.text, _STYLES[span.style]) for span in of])
        return strip.adjust_cell_length(self.size.width)


class Top(App["ZjobsError | None"]):
    """The application `zclient top`. At its end it closes `client`, and returns the error that ended it, None if its
    user did."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = [Binding("ctrl+c", "leave", priority=True, show=False)]
    CSS = "Screen { background: ansi_default; } Canvas { width: 100%; height: 100%; background: ansi_default; }"

    def __init__(self, client: AsyncClient, glyphs: Glyphs) -> None:
        super().__init__(ansi_color=True)
        self._client = client
        self._glyphs = glyphs
        self._view_state = Screen(client.address)
        self._live = Live(client, self._fetch, self._lose)
        self._canvas = Canvas()

    def compose(self) -> ComposeResult:
        """Yield the one widget, which paints everything."""
        yield self._canvas

    def on_mount(self) -> None:
        """Begin to follow the service."""
        self.set_interval(TICK_S, self._paint)  # ages and times left; nothing is asked for
        self.run_worker(self._follow())
        self._paint()

    def on_unmount(self) -> None:
        """Close the client, in the loop that it belongs to."""
        self._client.close()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the new size."""
        self.call_after_refresh(self._paint)

    def on_key(self, event: events.Key) -> None:
        """Do what a key does."""
        rows = page_rows(self._view_state, self.size.width, self.size.height, self._glyphs)
        self._view_state, wish = press(self._view_state, event.key, event.character, rows, datetime.now().astimezone())
        self._paint()
        if isinstance(wish, Quit):
            self.exit(None)
        elif isinstance(wish, Refresh):
            self._live.changed()
        elif wish is not None:
            self.run_worker(self._do(wish))

    def action_leave(self) -> None:
        """End the program on Ctrl+C."""
        self.exit(None)

    # --- the service -----------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        try:
            await self._live.run()
        except ZjobsError as error:
            self.exit(error)

    async def _fetch(self) -> None:
        """Fetch what is shown."""
        wanted = self._view_state
        everything = bool(wanted.filter) or isinstance(wanted.question, Filter)
        limits = (
            (MOST_JOBS, MOST_JOBS, snapshot.LOOKED_AT) if everything else (self._next_jobs, DELAYED_JOBS, ENDED_JOBS)
        )
        overview = await self._client._run(snapshot.overview(self._client, *limits, wanted.overview))
        self._view_state = self._view_state.heard(overview, time.monotonic())
        if wanted.mode is Mode.JOB and wanted.chosen is not None:
            await self._fetch_details(wanted.chosen)
        if wanted.mode is Mode.LOG and wanted.printed is not None:
            await self._fetch_output(wanted.printed)
        self._paint()

    @property
    def _next_jobs(self) -> int:
        return min(MOST_JOBS, max(20, self.size.height))

    async def _fetch_details(self, job_id: int) -> None:
        try:
            reply = await self._client.show(job_id, preview=True)
            types = await self._client.types()
        except ZjobsError as error:
            self._say(str(error))
            return
        kind = next((kind for kind in types.types if kind.name == reply.job.type), None)
        if self._view_state.mode is Mode.JOB and self._view_state.chosen == job_id:
            self._view_state = self._view_state._replace(details=Details(reply, kind))

    async def _fetch_output(self, printed: Printed) -> None:
        more = True
        while more:
            try:
                piece = await self._client.log(printed.id, printed.offset)
            except ZjobsError as error:
                self._say(str(error))
                return
            more = bool(piece.body) or piece.run != printed.run
            printed = printed.add(piece)
            if self._view_state.printed is None or self._view_state.printed.id != printed.id:
                return
            self._view_state = self._view_state._replace(printed=printed)

    async def _do(self, wish: Wish) -> None:
        try:
            self._say(await self._done(wish))
        except ZjobsError as error:
            self._say(str(error))
        self._live.changed()

    async def _done(self, wish: Wish) -> str:
        """Carry out a wish. Return a sentence on the outcome."""
        if isinstance(wish, Cancel):
            reply = await self._client.cancel([wish.id])
            state = next((job.state.value for job in reply.jobs if job.state.final), "told to end")
            return f"job {wish.id}: {state}" if reply.jobs else f"there is no job {wish.id}"
        if isinstance(wish, Retry):
            (copy,) = await self._client.retry([wish.id])
            return f"job {wish.id} is retried as {copy.id}"
        if isinstance(wish, Pause):
            await self._client.pause(wish.reason, duration=wish.duration, until=wish.until)
            return "paused: the running job goes on, and no other starts"
        assert isinstance(wish, Resume)
        resumed = await self._client.resume(all=wish.all)
        return "; ".join(resumed_lines(resumed, time.time()))

    # --- the screen ------------------------------------------------------------------------------------------

    def _lose(self, why: str) -> None:
        self._view_state = self._view_state._replace(lost=why)
        self._paint()

    def _say(self, message: str) -> None:
        self._view_state = self._view_state._replace(message=message)
        self._paint()

    def _paint(self) -> None:
        columns, rows = self.size
        if columns and rows:
            self._canvas.show(view(self._view_state, columns, rows, self._glyphs, time.time(), time.monotonic()))
