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
# two processes, whatever the machine: more would make those tests wait for each other that start whole services
pytest() { "$bin/python" -m pytest -q "$@"; }
if [ $# -gt 0 ]; then
    pytest -n 2 --dist loadfile "$@"
    exit
fi
marked="links or postgres or openapi or browser"
pytest -n 2 --dist loadfile -m "not ($marked)"
pytest -n 3 --dist loadgroup -m "$marked" # these mostly wait, for a slow link, a server or a browser
