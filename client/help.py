"""The help texts of zclient, which are also what its command line is parsed by."""

from __future__ import annotations

COMMON = """\
  --broker ENDPOINT    the broker, by default $ZJOBS_BROKER, else tcp://127.0.0.1:5570
  --timeout DURATION   how long to wait for one answer; it never bounds a job [default: 5s]
  --json               one JSON object a line; errors too, on stderr
  -h, --help           this page
  --version            the version

Exit codes:
  0 done   1 the job failed or was cancelled (result, batch)   2 wrong usage
  3 no such job, or its result has expired   4 not finished yet
  5 refused (unknown type, too large, queue full, not permitted)
  69 the broker cannot be reached in time   74 the output cannot be written
  130 interrupted

Durations are 90, 90s, 5m, 2h or 7d; a bare number is seconds."""

GENERAL = f"""\
zclient talks to a zjobs broker: it submits jobs, shows what became of them, and waits for them.

Usage:
  zclient [options] COMMAND [ARGUMENT...]

Commands:
  submit TYPE [DATA]   submit a job and print its id
  status [ID...]       show how jobs are getting on
  result ID            print the result of a job
  batch TYPE [DATA]    submit a job, wait for it and print its result
  show ID              show everything known of a job, failed attempts included
  types                list the types of jobs there are
  info                 show the broker, its journal and its worker

zclient COMMAND --help tells more.

Options:
{COMMON}
"""

_DATA = """\
DATA is text; '-' reads it from standard input. No DATA is not the same as an empty text.
Data that begins with a dash goes after '--': zclient {command} reverse -- -x
"""

_DATA_OPTIONS = """\
  --arg NAME=VALUE     instead of DATA: a named parameter, JSON where it parses; repeatable
  --lines FILE         instead of DATA: each line of FILE is a job ('-': standard input)
  --key KEY            submitting the same once more under the same key makes no second job
"""

SUBMIT = f"""\
Submit a job and print its id: it is on the broker's disk then, and will not be lost.

Usage:
  zclient submit [options] [--arg NAME=VALUE]... [--] TYPE [DATA]

{_DATA.format(command="submit")}
Options:
{_DATA_OPTIONS}{COMMON}
"""

STATUS = f"""\
Show how jobs are getting on, a line for each; without an ID the running job and the next 20.

Usage:
  zclient status [options] [--] [ID...]

Options:
{COMMON}
"""

RESULT = f"""\
Print the result of a job: text as it is, everything else as JSON. It can be printed as often as you like.

Usage:
  zclient result [options] [--] ID

Options:
  --wait               wait until the job is finished
  --max-wait DURATION  wait, but no longer than this
{COMMON}
"""

BATCH = f"""\
Submit a job, wait for it while showing its status on stderr, and print its id and its result.
With --lines: ID, a tab and RESULT for each line, in order; backslash, newline, carriage return and tab
are written as \\\\, \\n, \\r and \\t there.
Ctrl+C ends only the wait: the job goes on.

Usage:
  zclient batch [options] [--arg NAME=VALUE]... [--] TYPE [DATA]

{_DATA.format(command="batch")}
Options:
{_DATA_OPTIONS}  --max-wait DURATION  wait no longer than this
{COMMON}
"""

SHOW = f"""\
Show everything known of a job: times, key, sizes, and each attempt that failed with its traceback.

Usage:
  zclient show [options] [--] ID

Options:
{COMMON}
"""

TYPES = f"""\
List the types of jobs there are, with their descriptions.

Usage:
  zclient types [options]

Options:
{COMMON}
"""

INFO = f"""\
Show the broker: versions, journal, worker, and how many jobs there are.

Usage:
  zclient info [options]

Options:
{COMMON}
"""

COMMANDS = {
    "submit": SUBMIT,
    "status": STATUS,
    "result": RESULT,
    "batch": BATCH,
    "show": SHOW,
    "types": TYPES,
    "info": INFO,
}
