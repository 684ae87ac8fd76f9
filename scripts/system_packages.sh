#!/bin/sh
# system_packages.sh NAME...: install the Debian packages that are missing when we may, else say which.
set -eu
command -v dpkg-query >/dev/null 2>&1 || {
    echo "Not a Debian/Ubuntu system: make sure that the equivalents of these are installed: $*" >&2
    exit 0
}
missing=
for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $name"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then
    sudo=
elif sudo -n true 2>/dev/null; then
    sudo="sudo -n"
else
    echo "System packages are missing. Install them with:" >&2
    echo "    sudo apt-get install -y --no-install-recommends$missing" >&2
    exit 1
fi
echo "Installing system packages:$missing"
$sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
