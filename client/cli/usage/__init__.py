"""The command line of zclient as data, from which it is parsed and its help pages are made."""

from __future__ import annotations

from zjobs.client.cli import exit_codes
from zjobs.client.cli.usage.commands import COMMANDS
from zjobs.client.cli.usage.options import OPTIONS
from zjobs.program.cli.options import Program
from zjobs.program.endpoints import FRONTEND
from zjobs.program.version import VERSION

ZCLIENT = Program(
    "zclient",
    f"zclient {VERSION}",
    "zclient talks to a zjobs broker: it submits jobs, shows what became of them, and\nwaits for them.",
    COMMANDS,
    OPTIONS,
    exit_codes.MEANINGS,
    f"""\
The broker is that of --broker, else of --service, else of $ZJOBS_BROKER, else of the
service that $ZJOBS_SERVICE or the default of ~/.config/zjobs/config.toml names, else
{FRONTEND}. The key file is that of --key, else of --service, else of
$ZJOBS_KEY, else of the service by $ZJOBS_SERVICE or default, else
~/.config/zjobs/client.key if that exists.

DURATION is 90, 90s, 5m, 2h or 7d; a bare number is seconds.""",
)
