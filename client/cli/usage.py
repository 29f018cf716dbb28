"""The help texts of zclient, which are also what its command line is parsed by."""

from __future__ import annotations

COMMON = """\
  --broker ENDPOINT    the broker, by default $ZJOBS_BROKER, else tcp://127.0.0.1:5570
  --key FILE           the key file to show a broker that has keys, by default $ZJOBS_KEY, else
                       ~/.config/zjobs/client.key if it exists; '' is none
  --timeout DURATION   how long to wait for one answer; it never bounds a job [default: 5s]
  --json               one JSON object a line; errors too, on stderr
  -h, --help           this page
  --version            the version

Exit codes:
  0 done   1 a job failed or was cancelled (result, batch, wait)   2 wrong usage
  3 no such job, or its result has expired   4 not finished yet
  5 refused (unknown type, too large, queue full, key conflict, not permitted,
    the journal cannot be written, another broker than the key names)
  6 the broker runs on another journal now: ids known from before mean nothing there
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
  log ID               print what a job has printed, with -f as it comes
  list                 list jobs, newest first
  watch [ID...]        show what changes, as it happens
  wait ID...           wait until jobs have ended; the exit code tells how
  cancel ID...         cancel jobs, the running one too
  retry ID...          submit copies of jobs that have ended
  forget ID...         drop jobs that have ended, with all that is kept of them
  pause [REASON]       start nothing more until resume
  resume               end a pause
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
  --priority N         -1000 to 1000, by default 0: greater ones start first (--priority=-5)
  --delay DURATION     do not start it before this time is over; it holds up no other job
  --time-limit DURATION
                       end it when it has run for so long, as failed; by default the type's limit
  --once NAME          a name for this submit: the same once more under it makes no second job
"""

_RAW = """\
  --raw                on a terminal too, print what jobs wrote as it is; otherwise control characters
                       are shown there as \\x1b and the like, as a terminal would act upon them
"""
_IDS = "'-' among the IDs stands for ids on standard input, such as those that submit prints.\n"

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

{_IDS}
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
{_RAW}{COMMON}
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
{_RAW}{COMMON}
"""

SHOW = f"""\
Show everything known of a job: times, request key, sizes, what it is a copy of, and each attempt that failed
with its traceback.

Usage:
  zclient show [options] [--] ID

Options:
{_RAW}{COMMON}
"""

LOG = f"""\
Print what the last run of a job has printed. Of long output the end is kept; stderr tells how much is gone.

Usage:
  zclient log [options] [--] ID

Options:
  -f, --follow         go on until the job has ended, printing what it prints
{_RAW}{COMMON}
"""

LIST = f"""\
List jobs, newest first: as a table on a terminal, cut to its width, and as aligned lines elsewhere.

Usage:
  zclient list [options]

Options:
  --state STATE        only queued, in_progress, completed, failed or cancelled ones
  --type TYPE          only jobs of this type
  --limit N            at most so many [default: 20]
  --before ID          only jobs with smaller ids: to go on after an earlier list
{COMMON}
"""

WATCH = f"""\
Show what changes, one line a change, as it happens: of these jobs until all have ended, or of all jobs
until Ctrl+C. Of all jobs means also: when the queue is paused or resumed, and when the worker comes or goes.
Each line begins with the time and the type of the job, or 'service'. When changes were missed, stderr
says so, and what the jobs have become is shown.

Usage:
  zclient watch [options] [--] [ID...]

{_IDS}
Options:
{COMMON}
"""

WAIT = f"""\
Wait until jobs have ended, and print a line for each as it ends. The exit code tells the outcome:
0 all completed, 1 some failed or were cancelled, 3 some do not exist, 4 some were not finished in time.

Usage:
  zclient wait [options] [--] ID...

{_IDS}
Options:
  --max-wait DURATION  wait no longer than this
{COMMON}
"""

CANCEL = f"""\
Cancel jobs. A queued one is cancelled at once, unless the worker has it already. A running one is told to
end, and killed when its grace time is over. Until then it is 'cancelling'. One that has ended stays as it
is. A line for each tells what it is now.

Usage:
  zclient cancel [options] [--] ID...

{_IDS}
Options:
  --wait               wait until each has ended
  --max-wait DURATION  wait, but no longer than this
{COMMON}
"""

RETRY = f"""\
Submit copies of jobs that have ended, and print the new ids. The old jobs stay as they ended. Either all are
copied or none; of more than one request may make (2,000, or 4 MiB of data) those before the mistake may be.

Usage:
  zclient retry [options] [--] ID...

{_IDS}
Options:
  --once NAME          a name for this retry: the same once more under it makes no second copies
{COMMON}
"""

FORGET = f"""\
Drop jobs that have ended, with their data, results and output. Those that have not ended are kept
(exit code 4).

Usage:
  zclient forget [options] [--] ID...

{_IDS}
Options:
{COMMON}
"""

PAUSE = f"""\
Start nothing more until 'zclient resume', over restarts too. The running job goes on, and a job that the
worker has been given already may still start: stderr names them. With --wait, it is safe to touch the
instrument once the command has ended with exit code 0. 'zclient info' shows the REASON. Pausing again
changes it.

Usage:
  zclient pause [options] [--] [REASON]

Options:
  --wait               wait until nothing runs and nothing can start; Ctrl+C ends the wait, not the pause
  --max-wait DURATION  wait, but no longer than this (exit code 4)
{COMMON}
"""

RESUME = f"""\
End a pause: jobs start again.

Usage:
  zclient resume [options]

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
    "log": LOG,
    "list": LIST,
    "watch": WATCH,
    "wait": WAIT,
    "cancel": CANCEL,
    "retry": RETRY,
    "forget": FORGET,
    "pause": PAUSE,
    "resume": RESUME,
    "types": TYPES,
    "info": INFO,
}
