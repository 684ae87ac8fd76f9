#!/bin/sh
# demo.sh BIN: the sample series in napari, or without a display the same job headless.
set -eu
bin=$1
. scripts/qt_packages.sh
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    # shellcheck disable=SC2086
    sh scripts/system_packages.sh $QT_PACKAGES
    exec "$bin/phaset3m" demo --napari
fi
echo "No display: running the sample reconstruction headless."
exec "$bin/phaset3m" demo -o demo-output
