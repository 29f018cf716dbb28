"""The screen as lines, exactly as many as the terminal has rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from zjobs.client.cli.overview.page import Row, body
from zjobs.client.cli.overview.service import service_lines
from zjobs.client.cli.show import format
from zjobs.client.cli.show.styled import BLANK, Glyphs, Line, Span, Style, cut, line, width, wrapped
from zjobs.client.cli.top.screen import Confirm, Details, End, Filter, Mode, Printed, Reason, Screen
from zjobs.client.wording import text

GUTTER = 2

# Key and meaning, the most needed first; as many are shown as fit.
_HELP_KEYS = (("?", "help"), ("q", "quit"))
_BACK_KEYS = (("?", "help"), ("q", "back"))
_RESUME = ("u", "resume")  # while the queue is paused
_KEYS = {
    Mode.QUEUE: (
        ("Enter", "open"),
        ("c", "cancel"),
        _RESUME,
        ("r", "retry"),
        ("p", "pause"),
        ("l", "log"),
        ("/", "filter"),
    ),
    Mode.JOB: (("l", "log"), ("c", "cancel"), ("r", "retry")),
    Mode.LOG: (("End", "follow"), ("Enter", "job"), ("c", "cancel")),
    Mode.HELP: (),
}
_HELP = (
    ("Up Down, j k", "choose the job above or below; scroll"),
    ("PgUp PgDn, Home End", "move by a page; to the first or the last"),
    ("Enter", "open the job: everything that is known of it, with its attempts"),
    ("l", "show what the job prints, and follow it"),
    ("c", "cancel the job"),
    ("r", "retry a job that has ended: submit a copy"),
    ("p", "pause the queue, for a time such as 30m, until 15:00, or until somebody resumes it"),
    ("u", "resume the queue: lift your pauses, or as an operator all"),
    ("/", "show only jobs with these words in id, name, type, owner, state or message; Esc shows all"),
    ("q, Esc", "go back; in the queue, q ends the program"),
)


def view(screen: Screen, columns: int, rows: int, glyphs: Glyphs, now_s: float, now: float) -> list[Line]:
    """Return the lines at the wall clock time `now_s`, which is `now` by the monotonic clock."""
    banner = _banner(screen, columns, now)
    if screen.lost:  # time stops on the page: what has happened since is unknown
        now_s, now = now_s - (now - screen.heard_at), screen.heard_at
    head = _head(screen, columns, glyphs, now_s, now)
    foot = [_said(screen, columns), _keys(screen, columns)]
    height = max(0, rows - len(banner) - len(head) - len(foot))
    middle = _middle(screen, columns, height, glyphs, now_s, now)[:height]
    page = [*head, *middle, *[BLANK] * (height - len(middle))]
    if screen.lost:
        page = [_faint(each) for each in page]
    return [cut(each, columns, glyphs.cut) for each in (*banner, *page, *foot)][-rows:]


def page_rows(screen: Screen, columns: int, rows: int, glyphs: Glyphs) -> int:
    """Return by how many rows a page moves."""
    return max(1, rows - len(_head(screen, columns, glyphs, 0, screen.heard_at)) - 2)


def _faint(of: Line) -> Line:
    return tuple(Span(span.text, Style.FAINT) for span in of)


# --- head ----------------------------------------------------------------------------------------------------


def _banner(screen: Screen, columns: int, now: float) -> list[Line]:
    """Return that the broker is lost, and how old the page is."""
    if not screen.lost:
        return []
    age = f"; this is how it was {text.age(now - screen.heard_at)} ago" if screen.overview else "; trying again"
    sentence = f"{screen.address}: {screen.lost}{age}"
    return [line(Span(each, Style.WARNING)) for each in wrapped(text.printable(sentence), columns)]


def _head(screen: Screen, columns: int, glyphs: Glyphs, now_s: float, now: float) -> list[Line]:
    overview = screen.overview
    if overview is not None:
        later_s = now - screen.heard_at
        return [*service_lines(overview.info, overview.address, columns, glyphs, now_s, later_s), BLANK]
    return [] if screen.lost else [line(Span(f"connecting to {screen.address}", Style.FAINT)), BLANK]


# --- middle --------------------------------------------------------------------------------------------------


def _middle(screen: Screen, columns: int, height: int, glyphs: Glyphs, now_s: float, now: float) -> list[Line]:
    if screen.mode is Mode.HELP:
        return _scrolled(_help(columns), screen.scroll, height)
    if screen.mode is Mode.JOB:
        lines = [BLANK] if screen.details is None else _details(screen, screen.details, columns)
        return _scrolled(lines, screen.scroll, height)
    if screen.mode is Mode.LOG and screen.printed is not None:
        return [*_title(screen, columns, glyphs), *_output(screen.printed, screen.scroll, columns, height - 2)]
    return _queue(screen, columns, height, glyphs, now_s, now)


def _queue(screen: Screen, columns: int, height: int, glyphs: Glyphs, now_s: float, now: float) -> list[Line]:
    overview = screen.filtered
    if overview is None:
        return []
    rows = body(overview, columns - GUTTER, glyphs, now_s, now - screen.heard_at, counted=not screen.filter)
    chosen = None if screen.job is None else screen.job.id
    middle = next((place for place, row in enumerate(rows) if row.job is not None and row.job == chosen), 0)
    first = max(0, min(middle - height // 2, len(rows) - height))
    return [_marked(row, chosen, glyphs) for row in rows[first : first + height]]


def _marked(row: Row, chosen: int | None, glyphs: Glyphs) -> Line:
    if row.job is None or row.job != chosen:
        return line(" " * GUTTER, *row.line)
    stronger = (Span(said, Style.STRONG if style is Style.PLAIN else style) for said, style in row.line)
    return line(Span(glyphs.chosen.ljust(GUTTER), Style.ACTIVE), *stronger)


def _scrolled(lines: Sequence[Line], scroll: int, height: int) -> list[Line]:
    first = max(0, min(scroll, len(lines) - height))
    return list(lines[first : first + height])


def _details(screen: Screen, details: Details, columns: int) -> list[Line]:
    info = screen.overview.info if screen.overview is not None else None
    worker = {} if info is None else {"paused": info.paused is not None}
    state = None if info is None else info.worker.state
    said = format.show_lines(details.reply, state, kind=details.kind, **worker) if state is not None else []
    lines: list[Line] = []
    for each in said:
        name, colon, rest = each.partition(":")
        is_fact = bool(colon) and not each.startswith(" ") and rest.startswith(" ")
        indent = " " * (len(each) - len(rest.lstrip())) if is_fact else "  "
        first, *more = wrapped(each, columns, indent)
        lines.append(line(Span(name + colon, Style.FAINT), first[len(name) + 1 :]) if is_fact else line(first))
        lines += map(line, more)
    return lines


def _title(screen: Screen, columns: int, glyphs: Glyphs) -> list[Line]:
    """Return what is being followed."""
    job = screen.job
    named = f"job {screen.chosen}" + (
        f", {text.printable(job.name or job.type)}: {job.state.value.replace('_', ' ')}" if job else ""
    )
    hint = "End follows" if screen.scroll else "" if job is None or job.state.final else "the newest last"
    return [line(Span(named, Style.STRONG), Span(f" {glyphs.between} {hint}" if hint else "", Style.FAINT)), BLANK]


def _output(printed: Printed, scroll: int, columns: int, height: int) -> list[Line]:
    lines = [
        part for each in text.printable_lines(printed.text.removesuffix("\n")) for part in wrapped(each, columns, "")
    ]
    last = max(min(height, len(lines)), len(lines) - scroll)
    return [line(each) for each in lines[max(0, last - height) : last]]


def _help(columns: int) -> list[Line]:
    wide = max(len(keys) for keys, _ in _HELP)
    lines: list[Line] = []
    for keys, meaning in _HELP:
        first, *more = wrapped(meaning, columns - wide - 2, "")
        lines.append(line(Span(keys.ljust(wide + 2), Style.STRONG), first))
        lines += [line(" " * (wide + 2), each) for each in more]
    return lines


# --- foot ----------------------------------------------------------------------------------------------------


def _said(screen: Screen, columns: int) -> Line:
    """Return the question, the message or the filter, on a line of its own that is always there."""
    question = screen.question
    if isinstance(question, Confirm):
        return line(Span(text.printable(question.question), Style.STRONG), f" {'/'.join([*question.answers, 'n'])}")
    if isinstance(question, End):
        label = f"{text.printable(question.wrong)}: " if question.wrong else "Pause until (30m, 15:00): "
        return _typed(label, question.text, "   Enter alone: until resume, Esc: back", columns)
    if isinstance(question, Reason):
        return _typed("Pause the queue, because: ", question.text, "   Enter: pause, Esc: back", columns)
    if isinstance(question, Filter):
        return _typed("Show only: ", screen.filter, "   Enter: done, Esc: all", columns)
    if screen.message:
        return line(Span(text.printable(screen.message), Style.STRONG))
    return line(Span(f"only: {text.printable(screen.filter)}" if screen.filter else "", Style.WARNING))


def _typed(label: str, typed: str, hint: str, columns: int) -> Line:
    """Return what is being typed: its end, if there is no room for all."""
    visible = text.printable(typed)
    while visible and width(line(label, visible, "_")) > columns:
        visible = visible[1:]
    whole = line(Span(label, Style.STRONG), visible, "_")
    return line(*whole, Span(hint if width(whole) + len(hint) <= columns else "", Style.FAINT))


def _keys(screen: Screen, columns: int) -> Line:
    ends = _HELP_KEYS if screen.mode is Mode.QUEUE else _BACK_KEYS
    paused = screen.overview is not None and screen.overview.info.paused is not None
    kept: list[tuple[str, str]] = []
    for pair in _KEYS[screen.mode]:
        if pair == _RESUME and not paused:
            continue
        if sum(len(key) + len(word) + 3 for key, word in (*kept, pair, *ends)) - 2 <= columns:
            kept.append(pair)
    spans = [
        part for key, word in (*kept, *ends) for part in (Span(key, Style.STRONG), Span(f" {word}  ", Style.FAINT))
    ]
    return line(*spans)
