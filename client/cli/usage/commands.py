"""The commands of zclient, with their help pages."""

from __future__ import annotations

from zjobs.program.cli.options import Command

_DATA = """\
Each ARG is a parameter of the type, in order; 'zclient types TYPE' shows what they
are, and each word is converted to what its parameter takes: 3 becomes a number or
text. Write lists and maps in JSON; '-' reads standard input. As long as the parameters
of a type are unknown, give at most one ARG, which is text. A job without ARG has no
data, which is not the same as an empty text. Put '--' before an ARG that begins with a
dash: zclient {} reverse -- -x"""
_IDS = """\
An ID may be a range: 3-7 stands for all existing jobs from 3 to 7. '-' reads ids from
standard input, for example those that submit printed."""
_SELECT = f"""\
{_IDS}

--all, --mine, --state, --type, --name, --comment and --owner select jobs in place of
IDs; with IDs, all but --all select among them. Without --state, {{}}."""
_ASKS = """

On a terminal, zclient asks before it does this to a job of somebody else, or to more
than ten jobs that ranges and options select; elsewhere it requires --yes."""

COMMANDS = (
    Command(
        "submit",
        "TYPE [ARG...]",
        "submit a job and print its id",
        """\
Submit a job and print its id. Once the id is printed, the job is on the broker's
disk and will not be lost.""",
        _DATA.format("submit"),
        common=True,
    ),
    Command(
        "status",
        "[ID...]",
        "show the whole queue, or the state of jobs",
        """\
Without an ID, show the whole queue: the worker, each pause, the running job with its
progress, the next 20 jobs, delayed ones and those that ended last, with the beginning
of their data. With IDs, show the state of these jobs, one line each. On a terminal the
queue fits its width, in colour unless NO_COLOR is set; elsewhere it is a table in
which nothing is cut.""",
        _IDS,
        common=True,
    ),
    Command(
        "result",
        "ID",
        "print the result of a job",
        "Print the result of a job: text as it is, anything else as JSON. You can print it\nas often as you like.",
        common=True,
    ),
    Command(
        "data",
        "ID",
        "print the data of a job",
        "Print the data that a job was submitted with: text as it is, anything else as JSON.",
    ),
    Command(
        "batch",
        "TYPE [ARG...]",
        "submit a job, wait for it and print its result",
        """\
Submit a job, show its status on stderr during the wait, and print its id and result.
With --lines, print one line per job, in order: ID, a tab, and the result, in which
backslash, newline, carriage return and tab are written \\\\, \\n, \\r and \\t.
Ctrl+C ends the wait only; the job goes on.""",
        _DATA.format("batch"),
    ),
    Command(
        "run",
        "PROGRAM [ARG...]",
        "queue a program, to run on the worker's host",
        """\
Queue a program and print the id of its job. It runs when its turn comes, on the
worker's host, as the worker's account, in the directory in which you are now. It has
the worker's environment, and the variables of --env. The worker needs --commands.
Options end at PROGRAM: what follows belongs to it, as with env or nice.

Code 0 completes the job, any other code fails it. With --wait, the exit code is that
of the program; 128 + N if signal N ended it, 127 if there is no such program, 126 if
it cannot be executed, 125 if there is no such directory. Ctrl+C ends the wait only;
the job goes on.""",
        """\
For example: zclient run make test

In another directory: zclient run --cwd /data --env MODE=fast --wait -- ./reduce *.fits""",
        verbatim=True,
        common=True,
    ),
    Command(
        "show",
        "ID",
        "show everything known about a job",
        """\
Show everything known about a job: times, request key, sizes, the job it is a copy
of, and the traceback of each attempt that failed.""",
    ),
    Command(
        "log",
        "ID",
        "print what a job printed",
        """\
Print what the last run of a job printed. Only the end of long output is kept; a
note on stderr tells how much is gone.""",
    ),
    Command(
        "list",
        "",
        "list jobs, newest first",
        """\
List jobs, newest first. On a terminal this is a table, cut to its width; elsewhere
the columns are aligned and nothing is cut.""",
        alias="ls",
    ),
    Command(
        "watch",
        "[ID...]",
        "show changes as they happen",
        """\
Show changes as they happen, one line each. With IDs, this ends when those jobs have
ended; without, it shows all jobs until Ctrl+C, and also when the queue is paused or
resumed and when the worker comes or goes. A line begins with the time and the type
of the job, or 'service'. If changes were missed, stderr says so, and the present
state of the jobs follows.""",
        _IDS,
    ),
    Command(
        "top",
        "",
        "show the whole queue, full-screen and live",
        """\
Show the whole queue as status does, full-screen and live. Keys choose a job, open it,
follow what it prints, cancel or retry it, pause and resume the queue and filter the
jobs; '?' shows them. If the broker is lost, the last state stays on the screen until it
answers again. Needs the package textual: pip install 'zjobs[top]'.""",
    ),
    Command(
        "wait",
        "[ID...]",
        "wait until jobs have ended",
        """\
Wait until jobs have ended, and print a line for each as it ends. The exit code is 0
if all completed, 1 if some failed or were cancelled, 3 if some do not exist, and 4
if some did not finish in time.""",
        _SELECT.format("jobs that have not ended are selected"),
    ),
    Command(
        "cancel",
        "[ID...]",
        "cancel jobs, queued or running",
        """\
Cancel jobs, and print what each is now. A queued job is cancelled at once, unless
the worker already has it. A running job is told to end, and killed when its grace
time is over; until then it is 'cancelling'. A job that has ended stays as it is.""",
        _SELECT.format("jobs that have not ended are selected") + _ASKS,
        alias="kill",
    ),
    Command(
        "hold",
        "[ID...]",
        "hold jobs, so that they do not start",
        """\
Hold jobs that have not started: they do not start until 'zclient release'. Other jobs
do not wait for them. A job that the worker already has is recalled first. One that
has started by then stays as it is (exit code 5).""",
        _SELECT.format("queued jobs are selected") + _ASKS,
    ),
    Command(
        "release",
        "[ID...]",
        "release held jobs",
        "Release held jobs: each takes its place among the jobs of its priority, by its id.",
        _SELECT.format("queued jobs are selected") + _ASKS,
    ),
    Command(
        "edit",
        "ID...",
        "change jobs that have not started",
        """\
Change the priority, time limit, name, comment or times of jobs that have not started.
A job that the worker already has is recalled first. One that has started by then stays
as it is (exit code 5).""",
        _IDS + _ASKS,
    ),
    Command(
        "retry",
        "[ID...]",
        "submit copies of jobs that have ended",
        """\
Submit copies of jobs that have ended, and print the new ids. The old jobs stay as
they are. Either all jobs are copied or none; if they need several requests (more
than 2,000 jobs or 4 MiB of data), those before the first refused one are copied.""",
        _SELECT.format("failed and cancelled jobs are selected") + _ASKS,
    ),
    Command(
        "forget",
        "[ID...]",
        "delete jobs that have ended",
        """\
Delete jobs that have ended, with their data, results and output. A job that has not
ended is kept (exit code 4).""",
        _SELECT.format("jobs that have ended are selected") + _ASKS,
        alias="rm",
    ),
    Command(
        "pause",
        "[REASON]",
        "start no more jobs until resume",
        """\
Start no more jobs until the time is over (--for, --until) or 'zclient resume', even if
the broker restarts. The running job goes on, and a job that the worker already has may
still start: stderr names them. With --wait, it is safe to touch the instrument once the
command has ended with exit code 0. Pauses of several people add up: jobs start again
when the last one has ended. 'zclient info' shows them. Pausing again replaces pauses of
your own that would end earlier.""",
    ),
    Command(
        "resume",
        "",
        "lift your pauses",
        """Lift your own pauses; an operator also lifts those that the broker made. Jobs start
again if nobody else has paused the queue.""",
    ),
    Command(
        "audit",
        "",
        "show who changed what by hand",
        """\
Show who cancelled, edited, retried, forgot, paused and resumed what, newest first. A
submitter sees what it did itself. Names not proven by a key are shown as unverified.""",
    ),
    Command(
        "types",
        "[TYPE]",
        "list the job types, and what they take",
        """\
List the job types that the worker knows: their parameters, time limits and
descriptions. With a TYPE, print everything known about it.""",
    ),
    Command(
        "info",
        "",
        "show the broker, its journal and its worker",
        "Show the broker: its version and journal, the worker, and the number of jobs in each\nstate.",
    ),
    Command(
        "services",
        "",
        "show the services of your configuration, each with its state",
        """\
Show the services that ~/.config/zjobs/config.toml names, each with its state; '*'
marks the default. All are asked at once, and have at most 2 s to reply. The
exit code is that of the first one that does not reply properly.""",
        """\
The file has a table for each service, such as [services.laser]. Its field 'broker' is
the address, or a list of addresses as for --broker; 'key' is the path of the key file,
relative to the folder of config.toml ('' means none). The field 'default', before the
tables, names the service to use when none is given.""",
    ),
    Command(
        "completion",
        "SHELL",
        "print what bash, zsh or fish needs to complete command lines",
        """\
Print what a shell (bash, zsh or fish) needs to complete command lines of zclient:
commands, options, types, ids, states and services. Types and ids are those of the
broker that the command line names.""",
        """\
bash: put eval "$(zclient completion bash)" into ~/.bashrc

zsh: put source <(zclient completion zsh) into ~/.zshrc, after compinit

fish: zclient completion fish > ~/.config/fish/completions/zclient.fish""",
    ),
    Command(
        "help",
        "[COMMAND]",
        "show the help of a command",
        "Show the help of a command, as --help does; without COMMAND, the help of zclient.",
    ),
)
