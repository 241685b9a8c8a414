#!/bin/sh
# Makes the virtual environment $1 with $PYTHON, or with the first fitting Python that is found.
set -eu

fits='import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))'

works() { "$1" -c "$fits" >/dev/null 2>&1; }

# Installs Debian package $1 where that needs nobody's password; says what to type where it would.
apt_install() {
    if [ "$(id -u)" = 0 ]; then sudo=''
    elif sudo -n true 2>/dev/null; then sudo='sudo -n'
    else return 1; fi
    command -v apt-get >/dev/null || return 1
    echo "Installing $1 with apt."
    { $sudo apt-get -qq update && $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "$1"; } >&2
}

if [ -n "${PYTHON:-}" ]; then
    if ! works "$PYTHON"; then
        echo "PYTHON=$PYTHON is no Python from 3.10 to 3.13. Name one, as in: make run PYTHON=python3.12" >&2
        exit 2
    fi
else
    for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
        if works "$candidate"; then PYTHON=$candidate; break; fi
    done
    if [ -z "${PYTHON:-}" ]; then
        echo "No Python from 3.10 to 3.13 was found. Install one: sudo apt install python3 python3-venv" >&2
        exit 2
    fi
fi

# Debian and Ubuntu keep the part of Python that makes environments in a package of its own.
if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    package=$("$PYTHON" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if ! apt_install "$package" || ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "$PYTHON cannot make a virtual environment. Install what is missing: sudo apt install $package" >&2
        exit 2
    fi
fi

rm -rf "$1"
"$PYTHON" -m venv "$1"
