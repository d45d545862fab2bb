#!/bin/sh
# Create the virtual environment and install a lock file into it.
# usage: tools/venv.sh DIRECTORY LOCK_FILE
# On a bare Debian or Ubuntu it installs python3-venv first, where it may.
set -eu
venv=$1
lock=$2
python=${PYTHON:-python3}

fail() { echo "$1" >&2; exit 1; }

command -v "$python" >/dev/null 2>&1 ||
    fail "VonmoTrade needs Python 3.11 or newer; no '$python' was found. Name one: make PYTHON=python3.12 ..."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "VonmoTrade needs Python 3.11 or newer; '$python' is $("$python" -V 2>&1). Name one: make PYTHON=python3.12 ..."

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        package="$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
        if ! command -v apt-get >/dev/null 2>&1; then
            fail "'$python' has no venv module; install your system's package for it and try again."
        elif [ "$(id -u)" = 0 ]; then
            as_root=
        elif sudo -n true >/dev/null 2>&1; then
            as_root="sudo -n"
        else
            fail "'$python' has no venv module and this user may not install it; run: sudo apt-get install $package"
        fi
        echo "Installing $package ..."
        $as_root apt-get update -q
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$package"
    fi
    echo "Creating $venv ..."
    "$python" -m venv --clear "$venv"
fi
echo "Installing what $lock names into $venv ..."
"$venv/bin/python" -m pip install --disable-pip-version-check --require-hashes -r "$lock"
