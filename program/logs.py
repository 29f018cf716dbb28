"""The log of a program, on stderr. Names, reasons and output of jobs go there, so nothing in it can act on a
terminal."""

from __future__ import annotations

import logging
import sys

from zjobs.program.cli.options import Option, one_of

_LEVELS = ("debug", "info", "warning", "error")


def _level(text: str) -> str:
    return one_of(text.lower(), _LEVELS).upper()


LEVEL = Option("--log-level", "LEVEL", "debug, info, warning or error", read=_level, default="info")


def start(level: str, program: str) -> None:
    """Log from `level` (DEBUG, INFO, …) on, in the one format that all programs share."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Harmless(f"%(asctime)s %(levelname)-7s {program}: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


class _Harmless(logging.Formatter):
    """Formats a message as one line, with characters that a terminal would act upon shown as \\x1b and the like."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return _escaped(super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        return "\n".join(map(_escaped, super().formatException(ei).split("\n")))  # type: ignore[arg-type]


def _escaped(line: str) -> str:
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
