"""The effect of each key: a screen and a key in, a screen and perhaps a wish out. Pure."""

from __future__ import annotations

from datetime import datetime

from zjobs.client.cli.show.format import whose
from zjobs.client.cli.top.screen import (
    Cancel,
    Confirm,
    End,
    Filter,
    Mode,
    Pause,
    Printed,
    Quit,
    Reason,
    Refresh,
    Resume,
    Retry,
    Screen,
    Wish,
)
from zjobs.messages.fields import MAX_REASON_CHARS
from zjobs.messages.requests.queries import InfoReply
from zjobs.program.cli.times import end_of_pause

Pressed = tuple[Screen, "Wish | None"]

# How many rows a key moves; a page is as many as the terminal has.
_STEPS = {"up": -1, "k": -1, "down": 1, "j": 1}
_PAGES = {"pageup": -1, "pagedown": 1}
_ENDS = {"home": -1, "g": -1, "end": 1, "G": 1}
FAR = 1 << 30


def press(screen: Screen, key: str, character: str | None, rows: int, now: datetime) -> Pressed:
    """Return the effect of a key. character: what it types, None if nothing. rows: how many a page has. now: the local
    time."""
    screen = screen._replace(message="")
    if isinstance(screen.question, Confirm):
        return screen._replace(question=None), screen.question.answers.get((character or "").lower())
    if screen.question is not None:
        return _write(screen, key, character, now)
    name = character if character and character.isprintable() and character != " " else key
    if name == "q" and screen.mode is Mode.QUEUE:
        return screen, Quit()
    if name in ("q", "escape"):
        return _back(screen)
    step = _STEPS.get(name, 0) + _PAGES.get(name, 0) * max(1, rows - 1) + _ENDS.get(name, 0) * FAR
    if step:
        return _moved(screen, step), None
    if name == "?":
        return screen._replace(mode=Mode.HELP, scroll=0), None
    if name in ("c", "r", "p", "u"):
        return _act(screen, name)
    return _turn_to(screen, name)


def _back(screen: Screen) -> Pressed:
    if screen.mode is Mode.QUEUE:
        return screen._replace(filter=""), Refresh() if screen.filter else None
    return screen._replace(mode=Mode.QUEUE, scroll=0, details=None, printed=None), None


def _moved(screen: Screen, step: int) -> Screen:
    if screen.mode is Mode.LOG:
        return screen._replace(scroll=max(0, screen.scroll - step))
    if screen.mode is not Mode.QUEUE:
        return screen._replace(scroll=max(0, screen.scroll + step))
    ids = screen.ids
    return screen.choose(step + (ids.index(screen.chosen) if screen.chosen in ids else 0))


def _turn_to(screen: Screen, name: str) -> Pressed:
    if name == "/" and screen.mode is Mode.QUEUE:
        return screen._replace(question=Filter()), Refresh()
    job_id = screen.chosen if screen.job is None else screen.job.id
    if job_id is None or name not in ("enter", "l"):
        return screen, None
    screen = screen._replace(scroll=0, chosen=job_id)
    if name == "l":
        return screen._replace(mode=Mode.LOG, printed=Printed(job_id)), Refresh()
    return screen._replace(mode=Mode.JOB, details=None), Refresh()


def _act(screen: Screen, name: str) -> Pressed:
    if screen.overview is None or screen.lost:
        return screen._replace(message="not possible while there is no broker"), None
    if name == "p":
        return screen._replace(question=End()), None
    if name == "u":
        return _resume(screen, screen.overview.info), None
    job = screen.job
    if job is None:
        return screen, None
    what = f"job {job.id}, {job.name or job.type}" + (f" of {whose(job)}" if whose(job) else "")
    if name == "c" and job.state.final:
        return screen._replace(message=f"job {job.id} has ended"), None
    if name == "r" and not job.state.final:
        return screen._replace(message=f"job {job.id} has not ended: only a job that has can be retried"), None
    verb, wish = ("Cancel", Cancel(job.id)) if name == "c" else ("Retry", Retry(job.id))
    return screen._replace(question=Confirm(f"{verb} {what}?", {"y": wish})), None


def _resume(screen: Screen, info: InfoReply) -> Screen:
    """Ask whose pauses are to be lifted, if there may be those of others."""
    if info.paused is None:
        return screen._replace(message="the queue is not paused")
    if not any(pause.owner for pause in info.pauses):
        return screen._replace(question=Confirm("Resume the queue?", {"y": Resume()}))
    return screen._replace(question=Confirm("Lift your pauses (y), or all (a)?", {"y": Resume(), "a": Resume(True)}))


def _write(screen: Screen, key: str, character: str | None, now: datetime) -> Pressed:
    """Handle a key while something is being typed."""
    question = screen.question
    typed = question.text if isinstance(question, (End, Reason)) else screen.filter
    if key == "escape":
        screen = screen._replace(question=None)
        return (screen._replace(filter=""), Refresh()) if isinstance(question, Filter) else (screen, None)
    if key == "enter":
        return _typed(screen, now)
    if key == "backspace":
        typed = typed[:-1]
    elif character and character.isprintable():
        typed = (typed + character)[:MAX_REASON_CHARS]
    if isinstance(question, End):
        return screen._replace(question=End(typed)), None
    if isinstance(question, Reason):
        return screen._replace(question=question._replace(text=typed)), None
    return screen._replace(filter=typed, chosen=None), None


def _typed(screen: Screen, now: datetime) -> Pressed:
    """Handle a text that was typed completely."""
    question = screen.question
    if isinstance(question, End):
        try:
            return screen._replace(question=Reason("", *end_of_pause(question.text, now))), None
        except ValueError as error:
            return screen._replace(question=question._replace(wrong=str(error))), None
    screen = screen._replace(question=None)
    return screen, Pause(*question) if isinstance(question, Reason) else None
