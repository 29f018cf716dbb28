#!/usr/bin/env bash
# Checks everything: ruff, mypy over the installed package, pytest. Arguments go to pytest.
# The environment .venv-test is its own, with a normal install: what is tested is what users get.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
. scripts/environment.sh
make_environment "$ROOT/.venv-test" "$ROOT[test]"
bin=$ROOT/.venv-test/bin
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy" -p zjobs
unset PYTHONDONTWRITEBYTECODE # or pytest would compile all tests anew each time
room_kb=$(df --output=avail /dev/shm 2>/dev/null | tail -1)
if [ "${room_kb:-0}" -gt 2000000 ]; then
    # files in memory: what brokers flush would wait for the disk half of the time, and prove no more
    TMPDIR=$(mktemp -d /dev/shm/zjobs-tests.XXXXXX)
    export TMPDIR
    trap 'rm -rf "$TMPDIR"' EXIT
fi
# the slowest are listed at the end, so that growth is seen
pytest() { "$bin/python" -m pytest -q --durations 12 --durations-min 1 "$@"; }
# two processes, whatever the machine: more would make those tests wait for each other that start whole services
files=(-n 2 --dist loadfile --no-loadscope-reorder)
if [ $# -gt 0 ]; then
    pytest "${files[@]}" "$@"
    exit
fi
marked="links or postgres or openapi or browser"
pytest "${files[@]}" -m "not ($marked)"
pytest -n 3 --dist loadgroup -m "$marked" # these mostly wait, for a slow link, a server or a browser
