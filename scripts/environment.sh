# Sourced by the other scripts: makes a virtual environment with zjobs installed in it, as users install it.

# make_environment FOLDER REQUIREMENT: installs again only when something in the tree changed since.
make_environment() {
    local folder=$1 requirement=$2 stamp=$1/.installed
    if [ ! -x "$folder/bin/pip" ]; then # the last that is made: without it, a first start was interrupted
        echo "making $folder" >&2
        "${PYTHON:-python3}" -m venv --clear "$folder" || {
            echo "cannot make a virtual environment: is Python's venv module installed (Debian: python3-venv)?" >&2
            return 1
        }
    fi
    [ ! "$ROOT/setup.py" -nt "$stamp" ] || rm -f "$stamp" # what zjobs needs may have changed
    if ! grep -qxF "$requirement" "$stamp" 2>/dev/null; then
        echo "installing what zjobs needs into $folder" >&2
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$requirement" >&2
        echo "$requirement" >>"$stamp"
        touch -d @0 "$stamp"
    fi
    if [ -n "$(find "$ROOT"/{api,broker,worker,client,messages,program,testing,gateway} \
        \( -name '*.py' -o -path '*/pages/templates/*' -o -path '*/pages/static/*' \) -newer "$stamp" -print -quit)" ]; then
        echo "installing zjobs into $folder" >&2
        # setuptools would install modules that an earlier build left here, even if they are gone from the tree
        rm -rf "$ROOT/build" "$ROOT/zjobs.egg-info"
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall "$ROOT" >&2
        rm -rf "$ROOT/build" "$ROOT/zjobs.egg-info"
        touch "$stamp"
    fi
}
