#!/bin/sh
# make_venv.sh DIR user|test|test-qt6: create DIR and install this package into it (test: with test and lint
# tools; test-qt6: with PyQt6 in place of PyQt5, and test tools).
set -eu
venv=$1 kind=$2
if [ ! -x "$venv/bin/python" ]; then
    python=
    for name in python3 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            python=$name
            break
        fi
    done
    [ -n "$python" ] || { echo "Python 3.11 or newer was not found. Install it: apt-get install python3" >&2; exit 1; }
    # Debian ships the venv module's ensurepip in a package of its own.
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        sh scripts/system_packages.sh "python$version-venv"
    fi
    "$python" -m venv "$venv"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
if [ "$kind" = test ]; then
    "$venv/bin/python" -m pip install --disable-pip-version-check -e '.[pyqt5,fast,zarr,figures]' --group test --group lint
    touch "$venv/.stamp-test"
elif [ "$kind" = test-qt6 ]; then
    "$venv/bin/python" -m pip install --disable-pip-version-check -e '.[pyqt6,fast,zarr,figures]' --group test
    touch "$venv/.stamp-test-qt6"
    exit 0
else
    "$venv/bin/python" -m pip install --disable-pip-version-check -e '.[pyqt5,fast,zarr,figures]'
fi
touch "$venv/.stamp-user"
