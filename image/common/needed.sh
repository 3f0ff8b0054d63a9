#!/bin/sh
# Refuses a root that lacks what ours start or open by name: needed.sh ROOT. On the box it would be a service that fails.
set -eu
root=$1
common=$(cd "$(dirname "$0")" && pwd)
units=$common/overlay/usr/lib/systemd/system

there=$(mktemp)
trap 'rm -f "$there"' EXIT
find "$root/usr" ! -type d ! -type l -printf '%f\n' >"$there"
# A link to itself is no program: where /usr/sbin is /usr/bin, a package's link of the one to the other becomes that.
find "$root/usr" -type l | while read -r link; do
    # Others may lead nowhere from here: their path is the box's.
    [ -e "$link" ] || [ "$(stat -c %d:%i "$link")" != "$(stat -c %d:%i "$(dirname "$link")/$(readlink "$link")" 2>/dev/null)" ] || continue
    echo "${link##*/}"
done >>"$there"
missing=$(grep -v '^#' "$common/needed" | while read -r name; do grep -qxF "$name" "$there" || printf ' %s' "$name"; done)

# A unit may say itself that it does without.
missing=$missing$(sed -n 's/^Exec[A-Za-z]*=[-+!@:]*\(\/[^ ]*\).*/\1/p' "$units"/*.service | sort -u | while read -r program; do
    [ -e "$root$program" ] || [ -L "$root$program" ] || grep -qx "ConditionPathExists=$program" "$units"/*.service || printf ' %s' "$program"
done)
[ -z "$missing" ] || {
    echo "needed: the root has no$missing" >&2
    exit 1
}
