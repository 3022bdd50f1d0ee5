#!/bin/sh
# make-venv.sh [PYTHON]: makes .venv if it is missing. What the machine lacks is named with the command that installs it.
set -eu
cd "$(dirname "$0")/../.."

fail() {
    echo "$1" >&2
    exit 1
}

git_version=$(git version 2>/dev/null | sed 's/^git version \([0-9]*\.[0-9]*\).*/\1/')
[ -n "$git_version" ] || fail "git is missing; install it with: apt-get install git"
{ [ "${git_version%.*}" -gt 2 ] || { [ "${git_version%.*}" -eq 2 ] && [ "${git_version#*.}" -ge 38 ]; }; } ||
    fail "git is $git_version, 2.38 or newer is needed (merging without a work tree): apt-get install git, on Debian 12 or newer"

[ -x .venv/bin/pip ] && exit 0

without_venv=
for python in "$@" python3 python3.14 python3.13 python3.12 python3.11; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        exec "$python" -m venv .venv
    fi
    without_venv=$python
done
[ -z "$without_venv" ] || fail "$without_venv cannot make virtual environments; install that with: apt-get install python3-venv"
fail "there is no Python 3.11 or newer; install it with: apt-get install python3 python3-venv, on Debian 12 or newer"
