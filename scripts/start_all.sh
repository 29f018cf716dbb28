#!/usr/bin/env bash
# Runs the whole service on this machine.
#
#   scripts/start_all.sh                 broker and worker, with the journal in .run/, until Ctrl+C
#   scripts/start_all.sh COMMAND [ARG]…  both on free ports and without a journal, runs COMMAND against them
#                                        (zclient and ZJOBS_BROKER are set for it), exits with its code
#
# PYTHON chooses the interpreter that .venv is made with (python3).
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/scripts/environment.sh"
make_environment "$ROOT/.venv" "$ROOT"
export PATH="$ROOT/.venv/bin:$PATH"

# Own process groups, so that Ctrl+C reaches this script alone: it stops the worker first, then the broker.
set -m
broker='' worker='' scratch=$(mktemp -d "${TMPDIR:-/tmp}/zjobs.XXXXXX")

stop() { # stop PID: asks it to end, and waits until it has
    [ -n "$1" ] || return 0
    kill -TERM "$1" 2>/dev/null || true
    while kill -0 "$1" 2>/dev/null; do wait "$1" 2>/dev/null || true; done
}

stop_all() {
    trap '[ -n "$worker" ] && kill -TERM "$worker" 2>/dev/null' INT TERM # a second Ctrl+C: the worker stops at once
    stop "$worker"
    stop "$broker"
    rm -rf "$scratch"
}
trap stop_all EXIT

# start LOG PROGRAM ARG…: starts it and waits for its ready line; sets $pid and $ready
start() {
    local log=$1
    shift
    mkfifo "$scratch/ready"
    "$@" >"$scratch/ready" 2>"$log" </dev/null &
    pid=$!
    if ! read -r _ _ ready <"$scratch/ready"; then
        echo "$1 did not start:" >&2
        tail -n 5 "$log" >&2
        exit 1
    fi
    rm "$scratch/ready"
}

if [ $# -gt 0 ]; then
    worker_at=(--pipe "ipc://$scratch/pipe" --reports "ipc://$scratch/reports")
    start "$scratch/zbroker.log" zbroker --listen 'tcp://127.0.0.1:*' --journal :memory: "${worker_at[@]}"
    broker=$pid
    export ZJOBS_BROKER=$ready
    start "$scratch/zworker.log" zworker "${worker_at[@]}"
    worker=$pid
    set +m
    trap : INT TERM # Ctrl+C is for the command; it ends, and then everything else
    code=0
    "$@" || code=$?
    exit "$code"
fi

mkdir -p "$ROOT/.run"
trap 'exit 130' INT
trap 'exit 143' TERM
start "$ROOT/.run/zbroker.log" zbroker --journal "$ROOT/.run/journal.db"
broker=$pid broker_at=$ready
start "$ROOT/.run/zworker.log" zworker
worker=$pid
cat <<EOF
zjobs is running: requests at $broker_at, logs and journal in .run/
Talk to it from another terminal:

  .venv/bin/zclient batch reverse example     submit a job, wait for it, show its result
  .venv/bin/zclient submit swap example       submit a job, show its id
  .venv/bin/zclient status                    what runs and what is next
  .venv/bin/zclient --help                    everything else

Ctrl+C here stops both: the worker after its running job, at once if pressed again.
EOF
code=0
wait -n "$broker" "$worker" || code=$?
echo "a program ended by itself (code $code); see .run/" >&2
exit 1
