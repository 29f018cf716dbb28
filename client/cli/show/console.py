"""The streams of zclient: results on stdout; statuses, notes and errors on stderr, with a live line on a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from zjobs.client.wording import text

if TYPE_CHECKING:
    from zjobs.client.cli.show.styled import Line


class Output:
    """The two streams. as_json: write one JSON object a line.

    On a terminal, control characters other than newline and tab are shown as \\x1b and the like, because the output of
    a job must not act on the terminal. raw: write them unchanged.
    """

    def __init__(self, as_json: bool, raw: bool = False) -> None:
        self.as_json = as_json
        self.raw = raw
        self.columns = _columns(sys.stdout) if _is_a_tty(sys.stdout) else None
        self._escape_out = _is_a_tty(sys.stdout) and not raw
        self._escape_err = _is_a_tty(sys.stderr) and not raw
        self.live = not as_json and _is_terminal(sys.stderr)
        self._live_shown = False
        for stream in (sys.stdout, sys.stderr):
            # escape characters that the locale cannot show
            if stream is not None and hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")

    # --- stdout --------------------------------------------------------------------------------------------

    def line(self, line: str, fields: Any) -> None:
        """Print `line` for people; `fields` (a map or record) with --json."""
        self._clear()
        shown = text.json_text(fields) if self.as_json else line
        print(text.harmless(shown) if self._escape_out else shown)

    def styled(self, line: Line) -> None:
        """Print a line for people on a terminal, in colour if possible."""
        self._clear()
        shown = [(text.harmless(said), style.value if self.in_colour else "") for said, style in line]
        print("".join(f"\x1b[{code}m{said}\x1b[0m" if code else said for said, code in shown).rstrip())

    @property
    def in_colour(self) -> bool:
        """True if stdout is a terminal that shows colours, and NO_COLOR (no-color.org) does not forbid them."""
        return self.columns is not None and not os.environ.get("NO_COLOR") and _is_terminal(sys.stdout)

    @property
    def in_unicode(self) -> bool:
        """True if stdout can show characters beyond ASCII."""
        return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"

    def result(self, value: Any, fields: dict[str, Any]) -> None:
        """Print a result: bytes unchanged, text as it is, everything else as JSON; `fields` with --json."""
        if self.as_json or not isinstance(value, bytes):
            self.line("" if self.as_json else text.result_text(value), fields)
        elif self._escape_out:
            self.line(value.decode(errors="backslashreplace"), fields)
        else:
            self.write(value, "", fields)

    def write(self, data: bytes, decoded: str, fields: dict[str, Any]) -> None:
        """Write `data` unchanged; on a terminal `decoded`, its text; `fields` with --json."""
        if self.as_json:
            self.line("", fields)
            return
        self._clear()
        if self._escape_out:
            sys.stdout.write(text.harmless(decoded))
            return
        self.flush()
        if sys.stdout is not None:
            sys.stdout.buffer.write(data)

    def flush(self) -> None:
        """Write out what was printed, before a wait, so that an interruption does not swallow it."""
        if sys.stdout is not None:
            sys.stdout.flush()

    # --- stderr --------------------------------------------------------------------------------------------

    def note(self, sentence: str) -> None:
        """Print a note, which is not an error."""
        self._say(f"zclient: {sentence}", {"note": sentence})

    def ask(self, question: str) -> None:
        """Print a question; the answer is typed on the same line."""
        self._clear()
        self.flush()
        if sys.stderr is not None:
            sys.stderr.write(text.harmless(question))
            sys.stderr.flush()

    def change(self, line: str, fields: Any) -> None:
        """Print a change of a job on a line of its own."""
        self._say(line, fields)

    def error(self, code: str, sentence: str, prefix: str = "zclient: ", **more: Any) -> None:
        """Print an error."""
        self._say(prefix + sentence, {"error": {"code": code, "message": sentence, **more}})

    @property
    def live_columns(self) -> int:
        """The width of the live line."""
        return 0 if sys.stderr is None else max(1, _columns(sys.stderr) - 1)

    def show_live(self, line: str) -> None:
        """Rewrite the live line (only if `live`). It is cut to the width, because a wrapped line cannot be
        rewritten."""
        if sys.stderr is None:
            return
        cut = text.cut(text.printable(line), self.live_columns)
        sys.stderr.write(f"\r{cut}\x1b[K")
        sys.stderr.flush()
        self._live_shown = True

    def _say(self, line: str, fields: Any) -> None:
        self._clear()
        if sys.stderr is not None:
            shown = text.json_text(fields) if self.as_json else line
            print(text.harmless(shown) if self._escape_err else shown, file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._live_shown and sys.stderr is not None:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._live_shown = False


def silence(stream: TextIO | None) -> None:
    """Discard what is left in the buffer of `stream`; otherwise writing it at exit would fail again."""
    try:
        if stream is not None:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
    except (OSError, ValueError):
        pass  # without a file descriptor, nothing can fail


def _is_terminal(stream: TextIO | None) -> bool:
    """Return True if a line can be rewritten there."""
    return _is_a_tty(stream) and os.environ.get("TERM") != "dumb"


def _is_a_tty(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
