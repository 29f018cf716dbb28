#!/usr/bin/env bash
# Runs the whole service on this machine; --help tells how.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
    cat <<'EOF'
Runs the whole service on this machine: a broker and a worker with the predefined tasks.

Usage:
  scripts/start_all.sh                 run both until Ctrl+C
  scripts/start_all.sh --gateway       the same, and the gateway: the service over HTTP, for people who log in
  scripts/start_all.sh COMMAND [ARG]…  run both for one command, then exit with its code
  scripts/start_all.sh --help          show this text

Without a command: the broker listens at tcp://127.0.0.1:5570, where zclient looks, and its journal is the one
that zbroker uses by itself: zjobs/journal.db in your state directory (~/.local/state). Logs go to .run/.
Ctrl+C stops both: the worker after its running job. A second Ctrl+C kills that job.

With a command: both run at addresses of their own, the journal is in memory, and nothing is left behind but
the environment in .venv/. zclient and ZJOBS_BROKER are set for the command.

The first start makes the environment in .venv/. PYTHON chooses its interpreter (python3).
EOF
}

extra=''
case ${1:-} in
-h | --help)
    usage
    exit 0
    ;;
--gateway)
    extra='[gateway]'
    shift
    [ $# = 0 ] || {
        echo "start_all.sh: --gateway goes without a command" >&2
        exit 64
    }
    ;;
-*)
    echo "start_all.sh: there is no option $1; scripts/start_all.sh --help lists all" >&2
    exit 64
    ;;
esac

. "$ROOT/scripts/environment.sh"
make_environment "$ROOT/.venv" "$ROOT$extra"
export PATH="$ROOT/.venv/bin:$PATH"

# Own process groups, so that Ctrl+C reaches this script alone: it stops the worker first, then the broker.
set -m
broker='' worker='' gateway='' told='' scratch=$(mktemp -d "${TMPDIR:-/tmp}/zjobs.XXXXXX")

tell() { # tell PID: asks it to end
    [ -n "$1" ] && kill -TERM "$1" 2>/dev/null || true
}

await() { # await PID: waits until it has ended
    [ -n "$1" ] || return 0
    while kill -0 "$1" 2>/dev/null; do wait "$1" 2>/dev/null || true; done
}

tell_worker() { # once: the second time would kill its job
    [ -n "$told" ] || tell "$worker"
    told=1
}

stop_all() {
    trap kill_job INT TERM
    tell "$gateway"
    tell_worker
    await "$worker"
    tell "$broker"
    await "$gateway"
    await "$broker"
    rm -rf "$scratch"
}
trap stop_all EXIT

kill_job() {
    [ -n "$worker" ] || return 0
    echo "the running job is killed" >&2
    kill -TERM "$worker" 2>/dev/null || true
}

# Tells the worker to stop, and says what is waited for and what another Ctrl+C does. It is told first: two signals in
# one instant would be one.
begin_to_stop() {
    local job
    trap kill_job INT TERM
    tell_worker
    job=$(zclient --broker "$broker_at" --timeout 1s info 2>/dev/null | sed -n 's/.*running job \([0-9]*\).*/\1/p') || true
    if [ -n "$job" ]; then
        echo "stopping: waiting for job $job to end; Ctrl+C again kills it" >&2
    else
        echo "stopping" >&2
    fi
}

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

# start_gateway LOG: starts it; sets $gateway, $url, and $login: how to log in
start_gateway() {
    mkfifo "$scratch/gateway"
    ZJOBS_BROKER=$broker_at zgateway >"$scratch/gateway" 2>"$1" </dev/null &
    gateway=$!
    exec 3<"$scratch/gateway" # open until the second line was read, which comes at the very first start
    if ! read -r _ _ url <&3; then
        echo "zgateway did not start:" >&2
        tail -n 5 "$1" >&2
        exit 1
    fi
    IFS= read -r -t 1 login <&3 || login='log in as before; a lost password: zgateway password NAME'
    exec 3<&-
}

if [ $# -gt 0 ]; then
    worker_at=(--pipe "ipc://$scratch/pipe" --reports "ipc://$scratch/reports")
    start "$scratch/zbroker.log" zbroker --listen 'tcp://127.0.0.1:*' --journal :memory: "${worker_at[@]}"
    broker=$pid
    export ZJOBS_BROKER=$ready XDG_CACHE_HOME=$scratch # the schemas of a broker that will be gone
    # its lock file goes with the rest, too
    own_state() { XDG_STATE_HOME=$scratch exec zworker "$@"; }
    start "$scratch/zworker.log" own_state "${worker_at[@]}"
    worker=$pid
    set +m
    trap : INT TERM # Ctrl+C is for the command; it ends, and then everything else
    code=0
    "$@" || code=$?
    exit "$code"
fi

mkdir -p "$ROOT/.run"
broker_at=''
trap 'begin_to_stop; exit 130' INT
trap 'begin_to_stop; exit 143' TERM
start "$ROOT/.run/zbroker.log" zbroker
broker=$pid broker_at=$ready
start "$ROOT/.run/zworker.log" zworker
worker=$pid
journal=$(zclient --broker "$broker_at" info | sed -n 's/^journal: *\(.*\), [^,]*$/\1/p')
cat <<EOF
zjobs is running: requests at $broker_at, journal $journal, logs in .run/
Talk to it from another terminal:

  .venv/bin/zclient batch reverse example     submit a job, wait for it, show its result
  .venv/bin/zclient submit swap example       submit a job, show its id
  .venv/bin/zclient status                    what runs and what is next
  .venv/bin/zclient --help                    everything else

EOF
if [ -n "$extra" ]; then
    start_gateway "$ROOT/.run/zgateway.log"
    printf 'Over HTTP: %s/docs\n%s\n\n' "$url" "$login"
fi
echo "Ctrl+C here stops everything: the worker after its running job, at once if pressed again."
code=0
wait -n "$broker" "$worker" ${gateway:+"$gateway"} || code=$?
echo "a program ended by itself (code $code); see .run/" >&2
exit 1
