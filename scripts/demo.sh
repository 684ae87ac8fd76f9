#!/bin/sh
# demo.sh BIN: the sample series in napari, or without a display the same job headless into demo-output/.
set -eu
bin=$1
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    . scripts/qt_packages.sh
    # Without them Qt opens no window; the demo then says so and runs headless.
    # shellcheck disable=SC2086
    sh scripts/system_packages.sh $QT_PACKAGES || echo "Going on without them." >&2
fi
exec "$bin/phaset3m" demo -o demo-output
