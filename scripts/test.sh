#!/bin/sh
# test.sh BIN: every check; the pytest summary comes last. Fails when any check fails.
set -eu
bin=$1
. scripts/qt_packages.sh
# shellcheck disable=SC2086
sh scripts/system_packages.sh $QT_PACKAGES xvfb xauth
status=0
"$bin/ruff" check . || status=1
"$bin/mypy" || status=1
"$bin/lint-imports" || status=1
QT_QPA_PLATFORM=xcb LIBGL_ALWAYS_SOFTWARE=1 QT_API=pyqt5 \
    xvfb-run -a -s "-screen 0 1920x1080x24" "$bin/python" -m pytest -q || status=1
[ "$status" = 0 ] || echo "make test: a check failed (see above)" >&2
exit "$status"
