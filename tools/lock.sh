#!/bin/sh
# Write requirements.lock and requirements-dev.lock from pyproject.toml: exact versions of everything,
# with hashes, for every platform; no registry and no path of this machine in them.
# usage: tools/lock.sh UV
set -eu
uv=$1
compile() {
    lock=$1
    shift
    "$uv" pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --quiet \
        --no-emit-index-url --no-emit-find-links --no-header "$@" --output-file "$lock" >/dev/null
    { echo "# Written by 'make lock' from pyproject.toml; do not edit."; cat "$lock"; } > "$lock.new"
    mv "$lock.new" "$lock"
}
compile requirements.lock
compile requirements-dev.lock --extra dev --constraint requirements.lock
