#!/bin/sh
# test_qt6.sh BIN [PYTEST_ARGUMENT...]: the GUI tests with PyQt6 under a virtual display.
set -eu
bin=$1
shift
[ $# -gt 0 ] || set -- tests/gui
. scripts/qt_packages.sh
# shellcheck disable=SC2086
sh scripts/system_packages.sh $QT_PACKAGES xvfb xauth
# PYTEST_QT_API overrides the qt_api of pyproject.toml.
export QT_QPA_PLATFORM=xcb LIBGL_ALWAYS_SOFTWARE=1 QT_API=pyqt6 PYTEST_QT_API=pyqt6
"$bin/python" -c 'import qtpy; print("GUI tests with", qtpy.API_NAME, qtpy.PYQT_VERSION)'
exec xvfb-run -a -s "-screen 0 1920x1080x24" "$bin/python" -m pytest -q "$@"
